/** The authorities in a Secret: what is written is read again, and what a person wrote is read or told to be unusable. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import t from 'tap';
import { type Authorities, bundleOf } from '../../src/tls/authorities.ts';
import { readData, type SecretData, writeData } from '../../src/tls/authority-data.ts';
import { issueAuthority, issueServingCertificate } from '../../src/tls/issue.ts';
import { ellipticAuthority, foreignAuthority } from './foreign.ts';

const today = { validDays: 1, now: new Date() };
const [signing, next, old] = await Promise.all([
  issueAuthority({ commonName: 'signing', ...today }),
  issueAuthority({ commonName: 'next', ...today }),
  issueAuthority({ commonName: 'old', ...today }),
]);
const leaf = await issueServingCertificate(signing, { hosts: ['a.example'], ...today });
const elliptic = ellipticAuthority(today);
const tiny = foreignAuthority({ ...today, bits: 1024 });

const base64 = (text: string) => Buffer.from(text).toString('base64');
const text = (value = '') => Buffer.from(value, 'base64').toString();

/** As `kubectl create secret generic --from-file` makes it. */
function secret(files: Readonly<Record<string, string>>): SecretData {
  return Object.fromEntries(Object.entries(files).map(([key, content]) => [key, base64(content)]));
}

function authoritiesIn(data: SecretData): Authorities {
  const reading = readData(data);
  if (reading.kind !== 'authorities') throw new Error(JSON.stringify(reading));
  return reading.authorities;
}

/** Certificates by their fingerprints: they are the same, however their lines end. */
function fingerprints({ signing, next, previous }: Authorities) {
  const of = (certificate: string) => new X509Certificate(certificate).fingerprint256;
  return [of(signing.certificate), next && of(next.certificate), previous.map(of)];
}

t.test('what else is in the Secret stays, and nothing of the authorities before', async (t) => {
  const others = { 'path.token': base64('a'), note: '' };
  const before = { ...writeData({ signing: old, next, previous: [] }), ...others };
  const data = writeData({ signing, previous: [] }, before);
  t.strictSame(data, { ...writeData({ signing, previous: [] }), ...others });
  t.notOk('next.crt' in data);
});

t.test('what is written is read again', async (t) => {
  for (const authorities of [
    { signing, previous: [] },
    { signing, next, previous: [] },
    { signing, previous: [old.certificate, next.certificate] },
    { signing, next, previous: [old.certificate] },
  ]) {
    const data = writeData(authorities);
    const read = authoritiesIn(data);
    t.strictSame(fingerprints(read), fingerprints(authorities));
    t.strictSame(authoritiesIn(writeData(read)), read, 'and again');
    t.equal(bundleOf(authoritiesIn(writeData(read))), bundleOf(read), 'without any change of the bundle');
    for (const pair of [read.signing, ...(read.next ? [read.next] : [])]) {
      t.ok(new X509Certificate(pair.certificate).checkPrivateKey(createPrivateKey(pair.privateKey)));
    }
  }
});

t.test('the keys of the Secret are those that other tools know', async (t) => {
  const data = writeData({ signing, next, previous: [old.certificate] });
  t.strictSame(Object.keys(data).toSorted(), ['ca.crt', 'next.crt', 'next.key', 'tls.crt', 'tls.key']);
  t.equal(text(data['tls.crt']), signing.certificate);
  t.equal(text(data['tls.key']), signing.privateKey);
  t.equal(text(data['ca.crt']).match(/BEGIN CERTIFICATE/g)?.length, 3);
  t.notMatch(text(data['ca.crt']), /PRIVATE/);
  t.strictSame(Object.keys(writeData({ signing, previous: [] })), ['tls.crt', 'tls.key', 'ca.crt']);
});

t.test('nobody has written it yet', async (t) => {
  for (const data of [
    undefined,
    {},
    { 'tls.crt': '', 'tls.key': '', 'ca.crt': '' },
    { other: base64('x') },
    { 'ca.crt': base64(old.certificate) },
  ]) {
    t.strictSame(readData(data), { kind: 'empty' }, JSON.stringify(data)?.slice(0, 60));
  }
});

const files = { 'tls.crt': signing.certificate, 'tls.key': signing.privateKey };

t.test('an authority of somebody else is read', async (t) => {
  const own = foreignAuthority({ ...today, keyIdentifier: '00'.repeat(32) });
  const rows: [given: string, files: Record<string, string>][] = [
    ['as kubectl create secret tls', { 'tls.crt': own.certificate, 'tls.key': own.privateKey }],
    ['as cert-manager', { 'tls.crt': own.certificate, 'tls.key': own.privateKey, 'ca.crt': own.certificate }],
    [
      'with the line ends of Windows and words around it',
      {
        'tls.crt': `Certificate:\n  Issuer: me\n${own.certificate.trim().replaceAll(/\r?\n/g, '\r\n')}`,
        'tls.key': `# mine\n${own.privateKey.replaceAll('\n', '\r\n')}\n\n`,
      },
    ],
    [
      'both in one file, twice',
      { 'tls.crt': own.privateKey + own.certificate, 'tls.key': own.certificate + own.privateKey },
    ],
    ['with the chain above it', { 'tls.crt': own.certificate + old.certificate, 'tls.key': own.privateKey }],
  ];
  for (const [given, content] of rows) {
    const read = authoritiesIn(secret(content));
    t.equal(read.signing.certificate, new X509Certificate(own.certificate).toString(), given);
    t.match(read.signing.privateKey, /^-----BEGIN PRIVATE KEY-----\n[^-]+-----END PRIVATE KEY-----\n$/);
    t.strictSame(read.previous, []);
    t.notMatch(bundleOf(read), /PRIVATE/, `${given}: everybody may see the bundle`);
  }
});

t.test('others that are to be trusted are kept, each once', async (t) => {
  const bundle = [
    'my authorities\n',
    old.certificate,
    next.certificate,
    signing.certificate,
    old.certificate.replaceAll('\r', ''),
    '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
    old.privateKey,
  ].join('');
  const read = authoritiesIn(secret({ ...files, 'ca.crt': bundle }));
  t.strictSame(fingerprints(read), fingerprints({ signing, previous: [old.certificate, next.certificate] }));
  t.notMatch(bundleOf(read), /PRIVATE/);
  t.strictSame(authoritiesIn(secret({ ...files, 'ca.crt': 'garbage' })).previous, []);
});

t.test('given what cannot be used, a person is told what is wrong, and never shown a key', async (t) => {
  const rows: [given: string, files: Record<string, string>, problem: string][] = [
    ['garbage', { ...files, 'tls.crt': 'garbage' }, 'tls.crt holds no PEM certificate'],
    ['a key alone', { 'tls.key': signing.privateKey }, 'tls.crt holds no PEM certificate'],
    [
      'a certificate alone',
      { 'tls.crt': signing.certificate },
      'tls.key holds no PEM private key without a passphrase',
    ],
    [
      'the key of another certificate',
      { ...files, 'tls.key': old.privateKey },
      'tls.key is not the key of the first certificate in tls.crt',
    ],
    [
      'a certificate that may not sign others',
      { 'tls.crt': leaf.certificate, 'tls.key': leaf.privateKey },
      'tls.crt is no authority, which may sign others',
    ],
    [
      'an elliptic curve',
      { 'tls.crt': elliptic.certificate, 'tls.key': elliptic.privateKey },
      'tls.key is no RSA key',
    ],
    [
      'a key that is too small',
      { 'tls.crt': tiny.certificate, 'tls.key': tiny.privateKey },
      'TLS does not take tls.crt: ee key too small',
    ],
    [
      'a next one without its key',
      { ...files, 'next.crt': next.certificate },
      'next.key holds no PEM private key without a passphrase',
    ],
    [
      'a next one that may not sign others',
      { ...files, 'next.crt': leaf.certificate, 'next.key': leaf.privateKey },
      'next.crt is no authority, which may sign others',
    ],
  ];
  for (const [given, content, problem] of rows) {
    t.strictSame(readData(secret(content)), { kind: 'unusable', problem }, given);
  }
  t.match(readData({ 'tls.crt': '%%%', 'tls.key': '%%%' }), { kind: 'unusable' }, 'no base64 either');
});

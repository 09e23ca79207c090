/** What is issued is judged by OpenSSL (node:crypto and a TLS handshake), not by the library that made it. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import fc from 'fast-check';
import forge from 'node-forge';
import t from 'tap';
import { issueAuthority, issueServingCertificate } from '../../src/tls/issue.ts';
import { serve } from './serve.ts';

const DAY = 86_400_000;
const MINUTE = 60_000;
const now = new Date('2026-11-22T13:00:00Z');

const authority = await issueAuthority({ commonName: 'test authority', validDays: 30, now });
const ca = new X509Certificate(authority.certificate);

function issueFor(hosts: readonly string[]) {
  return issueServingCertificate(authority, { hosts, validDays: 7, now });
}

function names(certificate: string): string[] {
  return (new X509Certificate(certificate).subjectAltName ?? '').split(', ');
}

/** basicConstraints (2.5.29.19), DER: critical, then the sequence of cA and pathLen, or of neither. */
const CA_WITH_PATH_LENGTH_0 = Buffer.from('0603551d130101ff040830060101ff020100', 'hex');
const NO_CA = Buffer.from('0603551d130101ff04023000', 'hex');

t.test('an authority', async (t) => {
  t.equal(ca.subject, 'O=lockkeeper\nCN=test authority');
  t.equal(ca.issuer, ca.subject, 'is its own issuer');
  t.ok(ca.verify(ca.publicKey), 'signed itself');
  t.ok(ca.ca, 'may sign others');
  t.ok(ca.raw.includes(CA_WITH_PATH_LENGTH_0), 'of which none may be an authority');
  t.equal(ca.subjectAltName, undefined, 'stands for no host');
  t.ok(ca.checkPrivateKey(createPrivateKey(authority.privateKey)), 'has the key that belongs to it');
  t.match(authority.privateKey, /^-----BEGIN PRIVATE KEY-----\n/, 'as PKCS #8');
  t.equal(ca.publicKey.asymmetricKeyType, 'rsa');
  t.equal(ca.publicKey.asymmetricKeyDetails?.modulusLength, 2048);
  t.equal(ca.validFromDate.getTime(), now.getTime() - 10 * MINUTE, 'is valid from ten minutes ago');
  t.equal(ca.validToDate.getTime(), now.getTime() + 30 * DAY, 'for as long as was asked for');
});

t.test('a serving certificate', async (t) => {
  const pair = await issueFor(['lockkeeper.lockkeeper.svc', 'localhost', '127.0.0.1', '::1']);
  const certificate = new X509Certificate(pair.certificate);
  t.equal(certificate.subject, 'O=lockkeeper\nCN=lockkeeper.lockkeeper.svc', 'is named after its first host');
  t.ok(certificate.checkIssued(ca), 'names its authority as the issuer');
  t.ok(certificate.verify(ca.publicKey), 'is signed by it');
  t.notOk(certificate.ca, 'may sign nothing');
  t.ok(certificate.raw.includes(NO_CA), 'and says so even to whoever ignores its key usage');
  t.strictSame(certificate.keyUsage, ['1.3.6.1.5.5.7.3.1'], 'is for servers');
  t.strictSame(names(pair.certificate), [
    'DNS:lockkeeper.lockkeeper.svc',
    'DNS:localhost',
    'IP Address:127.0.0.1',
    'IP Address:0:0:0:0:0:0:0:1',
  ]);
  t.ok(certificate.checkPrivateKey(createPrivateKey(pair.privateKey)), 'has the key that belongs to it');
  t.notOk(
    certificate.checkPrivateKey(createPrivateKey(authority.privateKey)),
    'which is not the authority’s',
  );
  t.equal(certificate.validFromDate.getTime(), now.getTime() - 10 * MINUTE, 'is valid from ten minutes ago');
  t.equal(certificate.validToDate.getTime(), now.getTime() + 7 * DAY, 'for as long as was asked for');
});

t.test('given no host, nothing is issued', async (t) => {
  await t.rejects(issueFor([]), new RangeError('a serving certificate needs at least one host'));
});

t.test(
  'given a first host of more than 64 characters, the common name is cut and the host is not',
  async (t) => {
    const host = `${'a'.repeat(60)}.${'b'.repeat(60)}.example.com`;
    const certificate = new X509Certificate((await issueFor([host])).certificate);
    t.equal(certificate.subject, `O=lockkeeper\nCN=${host.slice(0, 64)}`);
    t.equal(certificate.subjectAltName, `DNS:${host}`);
    t.equal(certificate.checkHost(host), host);
  },
);

t.test('given a wildcard, it stands for one label', async (t) => {
  const pair = await issueFor(['*.example.com']);
  const certificate = new X509Certificate(pair.certificate);
  t.equal(certificate.checkHost('a.example.com'), '*.example.com');
  t.equal(certificate.checkHost('a.b.example.com'), undefined);
  t.equal(certificate.checkHost('example.com'), undefined);
  // RFC 5280 §4.1.2.4: an asterisk is no character of a PrintableString (tag 0x13), so the tag is 0x0c, UTF8String.
  t.ok(certificate.raw.includes(Buffer.from('\x0c\x0d*.example.com', 'latin1')));
});

t.test('every IP address, however it is written, is the one in the certificate', async (t) => {
  const addresses = [
    '::',
    '::1',
    '1::',
    '::2:3:4:5:6:7:8',
    '1:2:3:4:5:6:7::',
    '2001:DB8::A',
    '2001:0db8:0000:0000:0000:0000:0000:0001',
    '::ffff:10.0.0.1',
    '64:ff9b::192.0.2.33',
    '0.0.0.0',
    '255.255.255.255',
    ...fc.sample(fc.ipV6(), 100),
    ...fc.sample(fc.ipV4(), 20),
  ];
  const certificate = new X509Certificate((await issueFor(addresses)).certificate);
  for (const address of addresses) t.equal(certificate.checkIP(address), address, address);
  t.equal(names(certificate.toString()).length, addresses.length, 'and there is no other');
  t.equal(certificate.checkIP('2001:db8::b'), undefined);
});

t.test('an address with a zone, which means something on one machine only, is refused', async (t) => {
  await t.rejects(issueFor(['fe80::1%eth0']), { code: 'ERR_INVALID_URL' });
});

t.test('given an authority whose name is not ASCII, the issuer is that name to the byte', async (t) => {
  const foreign = await issueAuthority({ commonName: 'Zuständig für 東京', validDays: 1, now });
  const issuer = new X509Certificate(foreign.certificate);
  t.equal(issuer.subject, 'O=lockkeeper\nCN=Zuständig für 東京');
  const pair = await issueServingCertificate(foreign, { hosts: ['a.example'], validDays: 1, now });
  const certificate = new X509Certificate(pair.certificate);
  t.equal(certificate.issuer, issuer.subject);
  t.ok(certificate.checkIssued(issuer));
  t.ok(certificate.verify(issuer.publicKey));
});

t.test(
  'given an authority that another tool made, such as cert-manager, its certificates are trusted',
  async (t) => {
    const foreign = forge.pki.createCertificate();
    foreign.publicKey = forge.pki.publicKeyFromPem(
      ca.publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    );
    foreign.validity.notAfter = new Date(now.getTime() + DAY);
    const printable = [{ name: 'commonName', value: 'made elsewhere' }]; // forge's default, and Go's
    foreign.setSubject(printable);
    foreign.setIssuer(printable);
    foreign.setExtensions([{ name: 'basicConstraints', cA: true }]);
    foreign.sign(forge.pki.privateKeyFromPem(authority.privateKey), forge.md.sha256.create());
    const certificate = forge.pki.certificateToPem(foreign);
    const pair = await issueServingCertificate(
      { certificate, privateKey: authority.privateKey },
      { hosts: ['a.example'], validDays: 1, now },
    );
    t.ok(new X509Certificate(pair.certificate).checkIssued(new X509Certificate(certificate)));
  },
);

t.test('given an end after 2049, where X.509 changes how it writes dates, the end is right', async (t) => {
  const late = new Date('2049-12-01T00:00:00Z');
  const pair = await issueServingCertificate(authority, { hosts: ['a.example'], validDays: 365, now: late });
  t.equal(new X509Certificate(pair.certificate).validToDate.toISOString(), '2050-12-01T00:00:00.000Z');
});

t.test('serials are positive numbers of 16 octets, and no two are the same', async (t) => {
  const issues = Array.from({ length: 12 }, (_, i) => issueFor([`host-${i}.example`]));
  const serials = (await Promise.all(issues)).map(
    (pair) => new X509Certificate(pair.certificate).serialNumber,
  );
  for (const serial of serials) t.match(serial, /^[4-7][0-9A-F]{31}$/, 'the sign bit is never set');
  t.equal(new Set(serials).size, serials.length);
});

t.test('a TLS client that trusts the authority only', async (t) => {
  const today = { validDays: 1, now: new Date() };
  const trusted = await issueAuthority({ commonName: 'trusted', ...today });
  const other = await issueAuthority({ commonName: 'trusted', ...today });
  const pair = await issueServingCertificate(trusted, { hosts: ['a.example', '127.0.0.1'], ...today });
  const call = await serve(t, pair);
  const client = { ca: trusted.certificate };
  t.equal(await call({ ...client, servername: 'a.example' }), 'served', 'accepts a host of the certificate');
  t.equal(await call(client), 'served', 'accepts its IP address');
  t.equal(
    await call({ ...client, servername: 'b.example' }),
    'ERR_TLS_CERT_ALTNAME_INVALID',
    'refuses another name',
  );
  t.equal(
    await call({ ca: other.certificate, servername: 'a.example' }),
    'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    'refuses it when it trusts another authority of the same name',
  );

  const byName = await serve(t, await issueServingCertificate(trusted, { hosts: ['a.example'], ...today }));
  t.equal(await byName(client), 'ERR_TLS_CERT_ALTNAME_INVALID', 'refuses an address that is not in it');

  const yesterday = new Date(Date.now() - DAY - MINUTE);
  const expired = await serve(
    t,
    await issueServingCertificate(trusted, { hosts: ['a.example'], validDays: 1, now: yesterday }),
  );
  t.equal(await expired({ ...client, servername: 'a.example' }), 'CERT_HAS_EXPIRED', 'refuses an old one');

  const serving = await serve(t, trusted);
  t.equal(
    await serving({ ...client, servername: 'trusted' }),
    'INVALID_PURPOSE',
    'refuses the authority itself as a server',
  );
});

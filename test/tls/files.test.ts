/** A certificate and a key from files, and each way in which they can be wrong. */
import { createPrivateKey } from 'node:crypto';
import { join } from 'node:path';
import { inspect } from 'node:util';
import t from 'tap';
import { readKeyPair } from '../../src/tls/files.ts';
import { issueAuthority, issueServingCertificate } from '../../src/tls/issue.ts';

const validity = { validDays: 1, now: new Date() };
const authority = await issueAuthority({ commonName: 'test', ...validity });
const pair = await issueServingCertificate(authority, { hosts: ['a.example'], ...validity });

const [header = '', ...rest] = pair.privateKey.trimEnd().split('\n');
const [footer = ''] = rest.splice(-1);
/** One line of the middle of the key, by which it is known again. */
const SECRET = rest[5] ?? '';

const encryptedKey = createPrivateKey(pair.privateKey).export({
  type: 'pkcs8',
  format: 'pem',
  cipher: 'aes-256-cbc',
  passphrase: 'secret',
});
const pkcs1Key = createPrivateKey(pair.privateKey).export({ type: 'pkcs1', format: 'pem' });

const CONTENTS = {
  'tls.crt': pair.certificate,
  'tls.key': pair.privateKey,
  'pkcs1.key': pkcs1Key.toString(),
  'chain.crt': pair.certificate + authority.certificate,
  'chain-upside-down.crt': authority.certificate + pair.certificate,
  'both.pem': pair.certificate + pair.privateKey,
  'windows.crt': pair.certificate.replaceAll('\n', '\r\n'),
  'ca.key': authority.privateKey,
  'encrypted.key': encryptedKey.toString(),
  'torn.key': [header, ...rest.slice(0, 10)].join('\n'),
  'garbled.key': [header, ...rest.toReversed(), footer, ''].join('\n'),
  'torn.crt': pair.certificate.slice(0, 600),
  'empty.pem': '',
  'words.pem': 'my certificate\n',
  folder: {},
};

t.test('given files that belong together, both are read as they are', async (t) => {
  const folder = t.testdir(CONTENTS);
  const rows: [string, keyof typeof CONTENTS, keyof typeof CONTENTS][] = [
    ['as `npm run certs` writes them', 'tls.crt', 'tls.key'],
    ['with the authority after the certificate', 'chain.crt', 'tls.key'],
    ['with a key as OpenSSL 1 wrote it', 'tls.crt', 'pkcs1.key'],
    ['in one file', 'both.pem', 'both.pem'],
    ['with the line ends of Windows', 'windows.crt', 'tls.key'],
  ];
  for (const [given, certificate, privateKey] of rows) {
    t.strictSame(
      await readKeyPair(join(folder, certificate), join(folder, privateKey)),
      { certificate: CONTENTS[certificate], privateKey: CONTENTS[privateKey] },
      given,
    );
  }
});

t.test('given files that are wrong, the error names the file and never shows a key', async (t) => {
  const folder = t.testdir(CONTENTS);
  const path = (name: string) => join(folder, name);
  const rows: [given: string, certificate: string, privateKey: string, message: string][] = [
    [
      'no certificate file',
      'absent.crt',
      'tls.key',
      `${path('absent.crt')} cannot be read: ENOENT: no such file or directory, open '${path('absent.crt')}'`,
    ],
    [
      'no key file',
      'tls.crt',
      'absent.key',
      `${path('absent.key')} cannot be read: ENOENT: no such file or directory, open '${path('absent.key')}'`,
    ],
    [
      'a folder',
      'folder',
      'tls.key',
      `${path('folder')} cannot be read: EISDIR: illegal operation on a directory, read`,
    ],
    ['an empty certificate file', 'empty.pem', 'tls.key', `${path('empty.pem')} holds no PEM certificate`],
    [
      'an empty key file',
      'tls.crt',
      'empty.pem',
      `${path('empty.pem')} holds no PEM private key without a passphrase`,
    ],
    ['words for a certificate', 'words.pem', 'tls.key', `${path('words.pem')} holds no PEM certificate`],
    [
      'words for a key',
      'tls.crt',
      'words.pem',
      `${path('words.pem')} holds no PEM private key without a passphrase`,
    ],
    ['half a certificate', 'torn.crt', 'tls.key', `${path('torn.crt')} holds no PEM certificate`],
    [
      'half a key',
      'tls.crt',
      'torn.key',
      `${path('torn.key')} holds no PEM private key without a passphrase`,
    ],
    [
      'a garbled key',
      'tls.crt',
      'garbled.key',
      `${path('garbled.key')} holds no PEM private key without a passphrase`,
    ],
    [
      'an encrypted key',
      'tls.crt',
      'encrypted.key',
      `${path('encrypted.key')} holds no PEM private key without a passphrase`,
    ],
    ['the files the wrong way round', 'tls.key', 'tls.crt', `${path('tls.key')} holds no PEM certificate`],
    [
      'a certificate twice',
      'tls.crt',
      'tls.crt',
      `${path('tls.crt')} holds no PEM private key without a passphrase`,
    ],
    [
      'the key of the authority',
      'tls.crt',
      'ca.key',
      `${path('ca.key')} is not the key of the first certificate in ${path('tls.crt')}`,
    ],
    [
      'a chain that begins with the authority',
      'chain-upside-down.crt',
      'tls.key',
      `${path('tls.key')} is not the key of the first certificate in ${path('chain-upside-down.crt')}`,
    ],
  ];
  t.equal(SECRET.length, 64, 'the keys can be known again');
  for (const [given, certificate, privateKey, message] of rows) {
    const error = await readKeyPair(path(certificate), path(privateKey)).then(
      () => new Error('it was accepted'),
      (reason: Error) => reason,
    );
    t.equal(error.message, message, given);
    t.notMatch(inspect(error), SECRET, `${given}: no key in the error`);
  }
});

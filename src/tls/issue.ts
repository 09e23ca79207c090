/**
 * Issues the two certificates that a webhook needs: an authority, whose certificate is the `caBundle`
 * that the API server trusts, and a serving certificate signed by it.
 *
 * node-forge signs; keys come from node:crypto, because forge's own generator is JavaScript that blocks
 * the event loop for seconds.
 */
import { generateKeyPair, randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import { promisify } from 'node:util';
import forge from 'node-forge';

/** A certificate and the private key that belongs to it, both PEM (PKCS #8 for the key). */
export interface KeyPair {
  readonly certificate: string;
  readonly privateKey: string;
}

export interface AuthorityOptions {
  readonly commonName: string;
  /** From `now`, in days or parts of them. */
  readonly validDays: number;
  readonly now: Date;
}

export interface ServingCertificateOptions {
  /** DNS names and IP addresses, at least one; the first is also the common name. */
  readonly hosts: readonly string[];
  /** From `now`, in days or parts of them. */
  readonly validDays: number;
  readonly now: Date;
}

/** RSA 2048: what every API server and every Go client since 1.0 verifies, at 112 bits of security. */
const MODULUS_BITS = 2048;

const DAY_MS = 86_400_000;

/** A new certificate is valid from this long ago, so that a node whose clock is behind trusts it at once. */
const BACKDATED_MS = 600_000;

/** One that lives for minutes only is not made to look as if most of its life were over. */
const BACKDATED_SHARE = 1 / 10;

/** RFC 5280 §4.1.2.2: a serial has at most 20 octets and is positive; 16 random octets are plenty. */
const SERIAL_BYTES = 16;

/** The other choice, PrintableString, has no `*`, which the common name of a wildcard certificate needs. */
const UTF8: number = forge.asn1.Type.UTF8;

/** A self-signed certificate that may sign others, and nothing else. */
export async function issueAuthority(options: AuthorityOptions): Promise<KeyPair> {
  const keys = await newKeys();
  const subject = subjectOf(options.commonName);
  return sign({
    keys,
    subject,
    issuer: { subject, privateKey: keys.privateKey },
    options,
    extensions: [
      { name: 'basicConstraints', cA: true, pathLenConstraint: 0, critical: true },
      { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
      { name: 'subjectKeyIdentifier' },
    ],
  });
}

/**
 * A certificate for the HTTPS listener, signed by `authority`.
 * @throws RangeError when no host is given
 */
export async function issueServingCertificate(
  authority: KeyPair,
  options: ServingCertificateOptions,
): Promise<KeyPair> {
  const [commonName] = options.hosts;
  if (commonName === undefined) throw new RangeError('a serving certificate needs at least one host');
  const issuer = forge.pki.certificateFromPem(authority.certificate);
  return sign({
    keys: await newKeys(),
    subject: subjectOf(commonName),
    issuer: { subject: issuerOf(issuer), privateKey: authority.privateKey },
    options,
    extensions: [
      { name: 'basicConstraints', cA: false, critical: true },
      { name: 'keyUsage', digitalSignature: true, keyEncipherment: true, critical: true },
      { name: 'extKeyUsage', serverAuth: true },
      { name: 'subjectAltName', altNames: options.hosts.map(alternativeName) },
      { name: 'authorityKeyIdentifier', keyIdentifier: keyIdentifierOf(issuer) },
    ],
  });
}

interface Signing {
  readonly keys: { readonly publicKey: string; readonly privateKey: string };
  readonly subject: forge.pki.CertificateField[];
  readonly issuer: { readonly subject: forge.pki.CertificateField[]; readonly privateKey: string };
  readonly options: { readonly validDays: number; readonly now: Date };
  readonly extensions: object[];
}

function sign({ keys, subject, issuer, options, extensions }: Signing): KeyPair {
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.publicKeyFromPem(keys.publicKey);
  certificate.serialNumber = positiveSerial();
  const { validDays, now } = options;
  const validMs = validDays * DAY_MS;
  const backdatedMs = Math.min(BACKDATED_MS, validMs * BACKDATED_SHARE);
  certificate.validity.notBefore = new Date(now.getTime() - backdatedMs);
  certificate.validity.notAfter = new Date(now.getTime() + validMs);
  certificate.setSubject(subject);
  certificate.setIssuer(issuer.subject);
  certificate.setExtensions(extensions);
  certificate.sign(forge.pki.privateKeyFromPem(issuer.privateKey), forge.md.sha256.create());
  return { certificate: forge.pki.certificateToPem(certificate), privateKey: keys.privateKey };
}

function newKeys(): Promise<{ publicKey: string; privateKey: string }> {
  return promisify(generateKeyPair)('rsa', {
    modulusLength: MODULUS_BITS,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
}

/** Hexadecimal; the leading octet is kept in 0x40..0x7f so that the number is positive and never shortened. */
function positiveSerial(): string {
  const bytes = randomBytes(SERIAL_BYTES);
  bytes.writeUInt8((bytes.readUInt8(0) & 0x3f) | 0x40, 0);
  return bytes.toString('hex');
}

/** RFC 5280 limits a common name to 64 characters; the full name is in the alternative names anyway. */
function subjectOf(commonName: string): forge.pki.CertificateField[] {
  return [
    { name: 'organizationName', value: 'lockkeeper', valueTagClass: UTF8 },
    { name: 'commonName', value: commonName.slice(0, 64), valueTagClass: UTF8 },
  ];
}

/** The name as forge wants it for writing: what it read itself is still encoded, and it would encode it again. */
function issuerOf(authority: forge.pki.Certificate): forge.pki.CertificateField[] {
  return authority.subject.attributes.map((field) =>
    field.valueTagClass === UTF8 ? { ...field, value: forge.util.decodeUtf8(String(field.value)) } : field,
  );
}

/** As the authority itself names its key, which others may do in other ways than forge; its bytes, one per character. */
function keyIdentifierOf(authority: forge.pki.Certificate): string {
  const named = authority.getExtension('subjectKeyIdentifier') as { subjectKeyIdentifier: string } | null;
  return named === null
    ? authority.generateSubjectKeyIdentifier().getBytes()
    : forge.util.hexToBytes(named.subjectKeyIdentifier);
}

/** The tags of RFC 5280 §4.2.1.6 GeneralName: 2 is a DNS name, 7 an IP address. */
function alternativeName(host: string): object {
  switch (isIP(host)) {
    case 0:
      return { type: 2, value: host };
    case 4:
      return { type: 7, ip: host };
    default:
      // forge misreads `::ffff:10.0.0.1` and `::2:3:4:5:6:7:8`; URL writes neither of these forms.
      return { type: 7, ip: new URL(`https://[${host}]`).hostname.slice(1, -1) };
  }
}

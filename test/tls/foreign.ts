/** Certificates that Lockkeeper would never issue, and that somebody else may. */
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import forge from 'node-forge';
import type { KeyPair } from '../../src/tls/issue.ts';

export interface ForeignOptions {
  readonly now: Date;
  readonly validDays: number;
  readonly bits?: number;
  /** Hexadecimal; forge would take the SHA-1 of the key. */
  readonly keyIdentifier?: string;
  readonly subject?: forge.pki.CertificateField[];
}

const { asn1, pki } = forge;

/** An authority, signed by itself, with a key of the old kind (PKCS #1). */
export function foreignAuthority(options: ForeignOptions): KeyPair {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: options.bits ?? 2048 });
  const certificate = signed(options, publicKey, privateKey);
  return {
    certificate: pki.certificateToPem(certificate),
    privateKey: privateKey.export({ type: 'pkcs1', format: 'pem' }).toString(),
  };
}

/** An authority with an elliptic curve, which forge cannot make: signed with another key, in the place of its own. */
export function ellipticAuthority(options: ForeignOptions): KeyPair {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const [tbs, algorithm] = partsOf(pki.certificateToAsn1(signed(options, rsa.publicKey, rsa.privateKey)));
  partsOf(tbs)[SUBJECT_PUBLIC_KEY_INFO] = asn1.fromDer(
    publicKey.export({ type: 'spki', format: 'der' }).toString('latin1'),
  );
  const signature = sign('sha256', Buffer.from(asn1.toDer(tbs).getBytes(), 'latin1'), rsa.privateKey);
  const { UNIVERSAL } = asn1.Class;
  const certificate = asn1.create(UNIVERSAL, asn1.Type.SEQUENCE, true, [
    tbs,
    algorithm,
    asn1.create(UNIVERSAL, asn1.Type.BITSTRING, false, `\0${signature.toString('latin1')}`),
  ]);
  return {
    certificate: forge.pem.encode({ type: 'CERTIFICATE', body: asn1.toDer(certificate).getBytes() }),
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

/** A certificate by which a client is known, such as an API server. */
export function clientCertificate(authority: KeyPair, { now, validDays }: ForeignOptions): KeyPair {
  const keys = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const certificate = pki.createCertificate();
  certificate.publicKey = pki.publicKeyFromPem(
    keys.publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  );
  certificate.serialNumber = '42';
  certificate.validity.notBefore = now;
  certificate.validity.notAfter = new Date(now.getTime() + validDays * 86_400_000);
  certificate.setSubject([{ name: 'commonName', value: 'client' }]);
  certificate.setIssuer(pki.certificateFromPem(authority.certificate).subject.attributes);
  certificate.setExtensions([{ name: 'extKeyUsage', clientAuth: true }]);
  certificate.sign(pki.privateKeyFromPem(authority.privateKey), forge.md.sha256.create());
  return {
    certificate: pki.certificateToPem(certificate),
    privateKey: keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

/** RFC 5280 §4.1: its place in a TBSCertificate. */
const SUBJECT_PUBLIC_KEY_INFO = 6;

function partsOf({ value }: forge.asn1.Asn1): [forge.asn1.Asn1, forge.asn1.Asn1, ...forge.asn1.Asn1[]] {
  return value as [forge.asn1.Asn1, forge.asn1.Asn1, ...forge.asn1.Asn1[]];
}

function signed(options: ForeignOptions, publicKey: KeyObject, privateKey: KeyObject): forge.pki.Certificate {
  const { now, validDays, keyIdentifier, subject = [{ name: 'commonName', value: 'foreign' }] } = options;
  const certificate = pki.createCertificate();
  certificate.publicKey = pki.publicKeyFromPem(publicKey.export({ type: 'spki', format: 'pem' }).toString());
  certificate.serialNumber = '41';
  certificate.validity.notBefore = now;
  certificate.validity.notAfter = new Date(now.getTime() + validDays * 86_400_000);
  certificate.setSubject(subject);
  certificate.setIssuer(subject);
  certificate.setExtensions([
    { name: 'basicConstraints', cA: true },
    ...(keyIdentifier === undefined ? [] : [identifierOf(keyIdentifier)]),
  ]);
  const key = privateKey.export({ type: 'pkcs1', format: 'pem' }).toString();
  certificate.sign(pki.privateKeyFromPem(key), forge.md.sha256.create());
  return certificate;
}

/** An OCTET STRING, as RFC 5280 §4.2.1.2 has it. */
function identifierOf(hex: string) {
  const octets = forge.util.hexToBytes(hex);
  const value = asn1.create(asn1.Class.UNIVERSAL, asn1.Type.OCTETSTRING, false, octets);
  return { id: '2.5.29.14', value: asn1.toDer(value).getBytes() };
}

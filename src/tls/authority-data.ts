/** The authorities as a Secret keeps them: the keys that cert-manager and `kubectl create secret tls` use, and two more. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { type Authorities, bundleOf } from './authorities.ts';
import { flawOf } from './certificate.ts';
import type { KeyPair } from './issue.ts';

/** Of a Secret: each value is base64. */
export type SecretData = Readonly<Record<string, string>>;

export type Reading =
  | { readonly kind: 'authorities'; readonly authorities: Authorities }
  /** Nobody has written it yet. */
  | { readonly kind: 'empty' }
  /** Whose it is, is for a person to say; `problem` is what is wrong, such as `tls.crt holds no PEM certificate`. */
  | { readonly kind: 'unusable'; readonly problem: string };

const SIGNING = { certificate: 'tls.crt', privateKey: 'tls.key' } as const;
const NEXT = { certificate: 'next.crt', privateKey: 'next.key' } as const;
const BUNDLE = 'ca.crt';

type PairKeys = typeof SIGNING | typeof NEXT;

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

const KEYS: readonly string[] = [...Object.values(SIGNING), ...Object.values(NEXT), BUNDLE];

/** The whole data of a Secret that has had this data before: it keeps other things, too. */
export function writeData(authorities: Authorities, before: SecretData = {}): SecretData {
  const { signing, next } = authorities;
  const others = Object.entries(before).filter(([key]) => !KEYS.includes(key));
  const pair = (keys: PairKeys, { certificate, privateKey }: KeyPair) => ({
    [keys.certificate]: encode(certificate),
    [keys.privateKey]: encode(privateKey),
  });
  return {
    ...Object.fromEntries(others),
    ...pair(SIGNING, signing),
    ...(next && pair(NEXT, next)),
    [BUNDLE]: encode(bundleOf(authorities)),
  };
}

export function readData(data: SecretData = {}): Reading {
  const pair = ({ certificate, privateKey }: PairKeys): KeyPair => ({
    certificate: decode(data[certificate]),
    privateKey: decode(data[privateKey]),
  });
  const has = ({ certificate, privateKey }: PairKeys) => Boolean(data[certificate] || data[privateKey]);
  if (!has(SIGNING)) return { kind: 'empty' };

  const stored = { signing: pair(SIGNING), next: has(NEXT) ? pair(NEXT) : undefined };
  const problem = problemOf(SIGNING, stored.signing) ?? (stored.next && problemOf(NEXT, stored.next));
  if (problem !== undefined) return { kind: 'unusable', problem };
  const signing = plain(stored.signing);
  const next = stored.next && plain(stored.next);
  const previous = certificatesIn(decode(data[BUNDLE])).filter(
    (certificate) => certificate !== signing.certificate && certificate !== next?.certificate,
  );
  return { kind: 'authorities', authorities: { signing, ...(next && { next }), previous } };
}

/**
 * The first certificate and the key alone: other programs write both into one file, or what is in them in words, and
 * the certificate is shown to everybody.
 */
function plain({ certificate, privateKey }: KeyPair): KeyPair {
  return {
    certificate: new X509Certificate(certificate).toString(),
    privateKey: createPrivateKey(privateKey).export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

function problemOf(keys: PairKeys, pair: KeyPair): string | undefined {
  const flaw = flawOf(pair, keys);
  if (flaw !== undefined) return flaw;
  const certificate = new X509Certificate(pair.certificate);
  if (!certificate.ca) return `${keys.certificate} is no authority, which may sign others`;
  // node-forge, which signs, knows no other keys.
  if (certificate.publicKey.asymmetricKeyType !== 'rsa') return `${keys.privateKey} is no RSA key`;
  return undefined;
}

/** Each once. What is no certificate in a bundle is left out: it would be nothing to trust. */
function certificatesIn(bundle: string): string[] {
  const certificates = (bundle.match(CERTIFICATE) ?? []).flatMap((text) => {
    try {
      return [new X509Certificate(text).toString()];
    } catch {
      return [];
    }
  });
  return [...new Set(certificates)];
}

function encode(text: string): string {
  return Buffer.from(text).toString('base64');
}

function decode(base64 = ''): string {
  return Buffer.from(base64, 'base64').toString();
}

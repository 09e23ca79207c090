/** What is read off a certificate. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import type { KeyPair } from './issue.ts';

/** The moments between which a certificate is valid, in milliseconds since 1970. */
export interface Validity {
  readonly from: number;
  readonly to: number;
}

/** Of the first certificate in a PEM. @throws Error when there is none */
export function validityOf(certificate: string): Validity {
  const { validFromDate, validToDate } = new X509Certificate(certificate);
  return { from: validFromDate.getTime(), to: validToDate.getTime() };
}

/** When a certificate is to be replaced: at two thirds of its life, so that there is time to mend what goes wrong. */
export function renewalOf(certificate: string): number {
  const { from, to } = validityOf(certificate);
  return from + ((to - from) * 2) / 3;
}

/**
 * Why these two cannot be served with, in words; undefined if they can.
 * The parser's own message is left out: it may quote what it parsed.
 *
 * @param names what holds each of them, such as a file
 */
export function flawOf({ certificate, privateKey }: KeyPair, names: KeyPair): string | undefined {
  const parsed = attempt(() => new X509Certificate(certificate));
  if (parsed === undefined) return `${names.certificate} holds no PEM certificate`;
  const key = attempt(() => createPrivateKey(privateKey));
  if (key === undefined) return `${names.privateKey} holds no PEM private key without a passphrase`;
  if (!parsed.checkPrivateKey(key)) {
    return `${names.privateKey} is not the key of the first certificate in ${names.certificate}`;
  }
  const refusal = refusalOf({ certificate, privateKey });
  return refusal && `TLS does not take ${names.certificate}: ${refusal}`;
}

/** What OpenSSL has against them, from its own list of reasons: a key that is too small, a chain that is torn. */
function refusalOf({ certificate, privateKey }: KeyPair): string | undefined {
  try {
    createSecureContext({ cert: certificate, key: privateKey });
    return undefined;
  } catch (error) {
    return (error as { reason: string }).reason;
  }
}

function attempt<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch {
    return undefined;
  }
}

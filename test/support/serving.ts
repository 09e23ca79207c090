/** One serving certificate for all servers of a test process: making RSA keys takes longer than most tests. */
import { issueAuthority, issueServingCertificate, type KeyPair } from '../../src/tls/issue.ts';
import type { CertificateSource } from '../../src/tls/source.ts';

const now = new Date();
const authority = await issueAuthority({ commonName: 'lockkeeper test', validDays: 1, now });

/** For 127.0.0.1, and the PEM of the authority that signed it. */
export const serving = {
  caCertificate: authority.certificate,
  pair: await issueServingCertificate(authority, { hosts: ['127.0.0.1'], validDays: 1, now }),
};

/** Serves with this pair, and no other. */
export function fixedCertificate(pair: KeyPair): CertificateSource {
  return { start: (serve) => serve(pair), problem: () => undefined, stop: async () => {} };
}

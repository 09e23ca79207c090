/** Where the serving certificate comes from: files, or an authority of our own. */
import type { KeyPair } from './issue.ts';

export interface CertificateSource {
  /** Each pair to serve with from now on, the first as soon as there is one. Called once. */
  start(serve: (pair: KeyPair) => void): void;
  /** Why there is none yet, or none that is newer, in words; undefined when all is well. */
  problem(): string | undefined;
  /** Serves no other pair from now on. */
  stop(): Promise<void>;
}

/** Who signs the certificates of clients that may send reviews, from a file that is read again now and then. */
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Logger } from 'pino';
import type { Clock } from '../clock.ts';
import { startReconciler } from '../reconciler.ts';

export interface ClientCaOptions {
  readonly file: string;
  /** What {@link readClientCa} found at the start. */
  readonly first: string;
  /** Called with each PEM that the file comes to hold. */
  readonly onChange: (pem: string) => void;
  readonly clock: Pick<Clock, 'after'>;
  readonly log: Logger;
}

export interface ClientCa {
  /** Why the file cannot be used now, in words; the last good one is in force meanwhile. */
  problem(): string | undefined;
  stop(): Promise<void>;
}

/** As for the other files: {@link file://./files.ts} tells why. */
const LOOK_MS = 10_000;

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/**
 * PEM of the certificates in a file, and nothing else of it.
 * @throws Error that names the file and says what is wrong with it
 */
export async function readClientCa(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch((error: Error) => {
    throw new Error(`${file} cannot be read: ${error.message}`);
  });
  const certificates = text.match(CERTIFICATE) ?? [];
  if (certificates.length === 0) throw new Error(`${file} holds no PEM certificate`);
  try {
    // One that cannot be read would let in nobody, or everything would be refused for it.
    return certificates.map((certificate) => new X509Certificate(certificate).toString()).join('');
  } catch {
    throw new Error(`${file} holds a PEM certificate that cannot be read`);
  }
}

export function followClientCa({ file, first, onChange, clock, log }: ClientCaOptions): ClientCa {
  let current = first;
  let problem: string | undefined;

  const reconciler = startReconciler({
    async reconcile() {
      const pem = await readClientCa(file);
      problem = undefined;
      if (pem === current) return LOOK_MS;
      current = pem;
      log.info('reviews must come with certificates of another client CA from now on');
      onChange(pem);
      return LOOK_MS;
    },
    onError(error) {
      const { message } = error as Error;
      if (message !== problem) log.warn({ reason: message }, 'the client CA cannot be used');
      problem = message;
    },
    clock,
    random: () => 0,
  });
  return { problem: () => problem, stop: reconciler.stop };
}

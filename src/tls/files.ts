/** A serving certificate from files, such as cert-manager or `npm run certs` writes them. */
import { readFile } from 'node:fs/promises';
import type { Logger } from 'pino';
import type { Clock } from '../clock.ts';
import { startReconciler } from '../reconciler.ts';
import { timestamp } from '../timestamp.ts';
import { flawOf, validityOf } from './certificate.ts';
import type { KeyPair } from './issue.ts';
import type { CertificateSource } from './source.ts';

export interface FileSourceOptions {
  readonly certFile: string;
  readonly keyFile: string;
  /** What {@link readKeyPair} found at the start. */
  readonly first: KeyPair;
  readonly clock: Pick<Clock, 'after' | 'date'>;
  readonly log: Logger;
}

/**
 * The kubelet swaps a mounted Secret by a symbolic link, which not every file system tells its watchers of; it does so
 * about a minute after the Secret has changed. So looking now and then loses nothing.
 */
const LOOK_MS = 10_000;

/**
 * Reads both files and checks that they belong together.
 * @throws Error that names the file and says what is wrong with it
 */
export async function readKeyPair(certFile: string, keyFile: string): Promise<KeyPair> {
  const pair = { certificate: await read(certFile), privateKey: await read(keyFile) };
  const flaw = flawOf(pair, { certificate: certFile, privateKey: keyFile });
  if (flaw !== undefined) throw new Error(flaw);
  return pair;
}

/** Serves what the files hold, and what they come to hold; the last good pair for as long as they hold no other. */
export function fileSource(options: FileSourceOptions): CertificateSource {
  const { first, clock, log } = options;
  let served = first;
  let problem: string | undefined;
  let stop = async () => {};

  async function look(serve: (pair: KeyPair) => void): Promise<number> {
    const pair = await readKeyPair(options.certFile, options.keyFile);
    if (pair.certificate !== served.certificate || pair.privateKey !== served.privateKey) {
      const { to } = validityOf(pair.certificate);
      if (to <= clock.date()) throw new Error(`${options.certFile} has expired, at ${timestamp(to)}`);
      serve(pair);
      served = pair;
    }
    problem = undefined;
    return LOOK_MS;
  }

  return {
    start(serve) {
      serve(first);
      const reconciler = startReconciler({
        reconcile: () => look(serve),
        onError: (error) => {
          const { message } = error as Error;
          // Not a line for each look; and while the two files are replaced one after the other, none that is new.
          if (message !== problem) log.warn({ reason: message }, 'the certificate files cannot be used');
          problem = message;
        },
        clock,
        random: () => 0,
      });
      stop = reconciler.stop;
    },
    problem: () => problem,
    stop: () => stop(),
  };
}

async function read(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new Error(`${file} cannot be read: ${(error as Error).message}`);
  }
}

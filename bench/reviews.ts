/** Reviews of deploys that nothing is in the way of, and whoever sends them. */
import { randomBytes } from 'node:crypto';
import { Client } from 'undici';
import { deployReview } from '../test/fixtures/reviews.ts';
import type { Runner } from './race.ts';
import type { StoredRecord } from './records.ts';

/** Of the body of a review, in bytes; the first is what is there without a payload. */
export const SIZES = { '2 KB': 2_200, '60 KB': 60_000, '1.3 MB': 1_300_000 } as const;

export type Size = keyof typeof SIZES;

/**
 * A record that was let in is expected in storage for a second, and another deploy of its release waits so long. Here none
 * is ever stored: so many releases take turns that more than a second passes before one comes again.
 */
export const RELEASES = 4_000;

/** What is stored of each; the next revision is asked for. */
const STORED_REVISION = 6;

const PLACE = '@payload@';

export function* storedRevisions(): Generator<StoredRecord> {
  for (let number = 0; number < RELEASES; number += 1) {
    yield { release: `r${number}`, revision: STORED_REVISION, status: 'deployed' };
  }
}

/** The releases in turn, for all who ask. */
export function createDeploys() {
  let count = 0;
  return {
    /** What comes before the payload in a review, and what comes after it. */
    next(): [Buffer, Buffer] {
      const release = `r${count % RELEASES}`;
      count += 1;
      const review = deployReview({ release, revision: STORED_REVISION + 1, payload: PLACE });
      const [before = '', after = ''] = JSON.stringify(review).split(PLACE);
      return [Buffer.from(before), Buffer.from(after)];
    },
  };
}

export interface SenderOptions {
  readonly url: string;
  readonly path?: string;
  /** PEM. */
  readonly caCertificate: string;
  readonly lanes: number;
  readonly size: Size;
  readonly deploys: ReturnType<typeof createDeploys>;
}

export interface Sender extends Runner {
  close(): Promise<void>;
}

/** Sends reviews over a connection for each lane, as an API server does. */
export function createSender(options: SenderOptions): Sender {
  const { url, path = '/admission', caCertificate, lanes, size, deploys } = options;
  const connect = { ca: caCertificate };
  const clients = Array.from(
    { length: lanes },
    () => new Client(url, { connect, allowH2: false, pipelining: 1 }),
  );
  const payload = payloadFor(size, deploys.next());
  let prepared: [Buffer, Buffer][] = [];

  return {
    prepare(count) {
      prepared = Array.from({ length: count }, deploys.next);
    },
    async ask(lane) {
      const [before, after] = prepared.pop() ?? deploys.next();
      const body = Buffer.concat([before, payload, after]);
      const from = performance.now();
      const answer = await (clients[lane] as Client).request({
        path: `${path}?timeout=15s`,
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
      });
      const text = await answer.body.text();
      const took = performance.now() - from;
      if (!text.includes('"allowed":true')) throw new Error(`${url} answered ${answer.statusCode} ${text}`);
      return took;
    },
    close: async () => {
      for (const client of clients) await client.close();
    },
  };
}

function payloadFor(size: Size, [before, after]: [Buffer, Buffer]): Buffer {
  const length = Math.max(0, SIZES[size] - before.length - after.length);
  return Buffer.from(randomBytes(length).toString('base64').slice(0, length));
}

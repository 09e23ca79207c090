/** Helm records by the thousand, as Helm would write them, with a payload of noise that nothing can share or pack. */
import { randomBytes } from 'node:crypto';
import { Agent } from 'undici';
import { record } from '../test/support/records.ts';
import { NAMESPACE, type Stage } from './stage.ts';

export interface StoredRecord {
  readonly release: string;
  readonly revision: number;
  readonly status: string;
  readonly namespace?: string;
}

/** Of one record; a small chart makes some kilobytes. */
export const PAYLOAD_BYTES = 4_096;

const AT_ONCE = 32;

const REPORT_EVERY = 10_000;

/** Creates them all, many at once. @throws when the API server refuses one */
export async function fill(
  { cluster }: Stage,
  records: Iterable<StoredRecord>,
  say: (line: string) => void = () => {},
): Promise<void> {
  const connect = { ca: cluster.caCertificate };
  const agent = new Agent({ connect, allowH2: false, connections: AT_ONCE });
  const headers = {
    authorization: `Bearer ${await cluster.token({ username: 'admin' })}`,
    'content-type': 'application/json',
  };
  const left = records[Symbol.iterator]();
  let made = 0;
  async function create({ release, revision, status, namespace = NAMESPACE }: StoredRecord): Promise<void> {
    const body = JSON.stringify(record(release, revision, status, { namespace, payload: noise() }));
    const path = `${cluster.url}/api/v1/namespaces/${namespace}/secrets`;
    const answer = await agent.request({
      origin: cluster.url,
      path: new URL(path).pathname,
      method: 'POST',
      headers,
      body,
    });
    const text = await answer.body.text();
    if (answer.statusCode !== 201) throw new Error(`POST ${path}: ${answer.statusCode} ${text}`);
    made += 1;
    if (made % REPORT_EVERY === 0) say(`${made} records are stored`);
  }
  async function lane(): Promise<void> {
    for (let next = left.next(); !next.done; next = left.next()) await create(next.value);
  }
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  await agent.close();
}

function noise(): string {
  return randomBytes((PAYLOAD_BYTES * 3) / 4).toString('base64');
}

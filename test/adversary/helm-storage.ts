/** A release's records as Helm keeps them: what each client reads and writes, whatever it is up to. */
import { setTimeout as delay } from 'node:timers/promises';
import { type Driver, parseRevisionNumber, recordName } from '../../src/helm/release.ts';
import type { ApiClient } from '../clusters/client.ts';
import type { StoredObject } from '../clusters/kubernetes-object.ts';
import { NAMESPACE } from './log.ts';
import { encodePayload } from './payload.ts';

/** Of one release, by one client. */
export interface Storage {
  /** Oldest first. */
  history(): Promise<Revision[]>;
  /** Each of these throws what the API server answers, if it is an error. A 429 is tried again, as client-go does. */
  create(revision: Revision): Promise<void>;
  put(revision: Revision): Promise<void>;
  remove(number: number): Promise<void>;
}

export interface Revision {
  readonly number: number;
  readonly status: string;
}

export interface StorageOptions {
  readonly driver: Driver;
  readonly release: string;
  readonly api: Pick<ApiClient, 'request'>;
  /** Resolves when the next request may be sent; never, once the client was killed. */
  readonly alive: () => Promise<void>;
}

/** How often client-go sends a request again that was answered 429. */
const RETRIES = 10;

interface Answer {
  readonly items: readonly StoredObject[];
  readonly message?: string;
}

export function openStorage(options: StorageOptions): Storage {
  const { driver, release, api, alive } = options;
  const collection = `/api/v1/namespaces/${NAMESPACE}/${driver}`;

  /** @throws Error in the words of the API server */
  async function ask(method: string, path: string, body?: object, allowed?: number): Promise<Answer> {
    for (let attempt = 0; ; attempt += 1) {
      await alive();
      const answer = await api.request<Answer>(method, path, body);
      const { code, headers } = answer;
      if (code < 300 || code === allowed) return answer.body;
      if (code !== 429 || attempt === RETRIES) throw new Error(`${code} ${answer.body.message}`);
      await delay(Number(headers['retry-after'] ?? 1) * 1000);
    }
  }

  return {
    async history() {
      const selector = encodeURIComponent(`owner=helm,name=${release}`);
      const { items } = await ask('GET', `${collection}?labelSelector=${selector}`);
      return items
        .map(({ metadata: { labels = {} } }) => ({
          number: parseRevisionNumber(labels.version) ?? 0,
          status: labels.status ?? '',
        }))
        .sort((one, other) => one.number - other.number);
    },
    async create(revision) {
      await ask('POST', collection, toRecord(options, revision));
    },
    async put(revision) {
      const record = toRecord(options, revision);
      await ask('PUT', `${collection}/${record.metadata.name}`, record);
    },
    async remove(number) {
      await ask('DELETE', `${collection}/${recordName(release, number)}`, undefined, 404);
    },
  };
}

/** With a number that JavaScript cannot hold, and text that JSON may write in two ways: a clear must keep both. */
const CONFIG = '{"big":12345678901234567890.10,"text":"caf\u00e9 \\u00e9 \\/ \u2028"}';

let written = 0;

function toRecord({ driver, release }: StorageOptions, { number, status }: Revision) {
  written += 1;
  const info = `{"first_deployed":"${new Date().toISOString()}","deleted":"","description":"write ${written}","status":"${status}"}`;
  const json = `{"name":"${release}","info":${info},"config":${CONFIG},"version":${number},"namespace":"${NAMESPACE}"}`;
  return {
    metadata: {
      name: recordName(release, number),
      labels: { owner: 'helm', name: release, status, version: String(number) },
    },
    ...(driver === 'secrets' && { type: 'helm.sh/release.v1' }),
    data: { release: encodePayload(driver, json) },
  };
}

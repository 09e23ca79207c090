/** Replicas that look after their certificates, on a Secret in memory and a clock that is turned by hand. */
import { X509Certificate } from 'node:crypto';
import type { Test } from 'tap';
import { readData, type SecretData } from '../../src/tls/authority-data.ts';
import type { KeyPair } from '../../src/tls/issue.ts';
import { type AuthorityStore, type StoredAuthority, selfManaged } from '../../src/tls/self-managed.ts';
import { type FakeClock, fakeClock } from '../support/fake-clock.ts';
import { testLog } from '../support/log.ts';
import { sleeper } from '../support/sleeper.ts';

export interface MemoryStore extends AuthorityStore {
  /** What is stored, if there is any. */
  stored(): StoredAuthority | undefined;
  put(data: SecretData | undefined): void;
  remove(): void;
  /** Called before each request; what it throws is the answer. */
  before(fault: (request: 'read' | 'create' | 'replace') => void): void;
  /** What was asked since the last time. */
  asked(): string[];
}

export function memoryStore(stored?: StoredAuthority): MemoryStore {
  let secret = stored;
  let fault: (request: 'read' | 'create' | 'replace') => void = () => {};
  const requests: string[] = [];

  async function answer(request: 'read' | 'create' | 'replace'): Promise<void> {
    requests.push(request);
    fault(request);
  }

  return {
    namespace: 'lockkeeper',
    name: 'lockkeeper-ca',
    stored: () => secret,
    put: (data) => {
      secret = data ? { data } : {};
    },
    remove: () => {
      secret = undefined;
    },
    before: (next) => {
      fault = next;
    },
    asked: () => requests.splice(0),
    async read() {
      await answer('read');
      return secret;
    },
    async create(data) {
      await answer('create');
      if (secret !== undefined) return false;
      secret = { data };
      return true;
    },
    async replace(read, data) {
      await answer('replace');
      if (secret !== read) return false;
      secret = { data };
      return true;
    },
  };
}

export interface ReplicaOptions {
  readonly store: AuthorityStore;
  readonly clock?: FakeClock;
  readonly hosts?: readonly string[];
  readonly certificateSeconds?: number;
  readonly authoritySeconds?: number;
  /** Whether API servers are told of each bundle as soon as there is one. */
  readonly isPublished?: boolean;
}

export const DAY_SECONDS = 86_400;

export async function startReplica(t: Test, options: ReplicaOptions) {
  const { clock, asleep } = sleeper(options.clock ?? fakeClock());
  const logs = testLog();
  const served: KeyPair[] = [];
  const published = new Map<string, number>();
  let bundles = 0;
  const source = selfManaged({
    hosts: ['lockkeeper.lockkeeper.svc', '127.0.0.1'],
    certificateSeconds: 30 * DAY_SECONDS,
    authoritySeconds: 365 * DAY_SECONDS,
    publishedSince: (certificate) => published.get(new X509Certificate(certificate).fingerprint256),
    onBundle() {
      bundles += 1;
      for (const { fingerprint256 } of options.isPublished ? certificatesIn(source.bundle()) : [])
        if (!published.has(fingerprint256)) published.set(fingerprint256, clock.date());
    },
    random: () => 1,
    log: logs.log,
    ...options,
    clock,
  });
  t.teardown(() => source.stop());
  const sleeping = asleep();
  source.start((pair) => served.push(pair));
  await sleeping;
  return {
    ...source,
    clock,
    logs,
    asleep,
    /** Every pair that was served so far. */
    served,
    /** How often it told that there are other authorities. */
    bundles: () => bundles,
    /** Time passes, and it has looked. */
    async pass(ms: number): Promise<void> {
      const sleeping = asleep();
      clock.advance(ms);
      await sleeping;
    },
    /** It is woken, and has looked. */
    async woken(): Promise<void> {
      const sleeping = asleep();
      source.wake();
      await sleeping;
    },
    warnings: () => logs.lines.filter(({ level }) => level === 40).map(({ reason }) => reason),
  };
}

export type Replica = Awaited<ReturnType<typeof startReplica>>;

export function certificatesIn(bundle = ''): X509Certificate[] {
  const certificates = bundle.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return certificates.map((certificate) => new X509Certificate(certificate));
}

/** Whether a certificate is signed by one of those in the bundle. */
export function isTrusted(certificate: string, bundle: string | undefined): boolean {
  const leaf = new X509Certificate(certificate);
  return certificatesIn(bundle).some((ca) => leaf.checkIssued(ca) && leaf.verify(ca.publicKey));
}

/** Pieces of each private key that this store and these replicas have, by which it would be known again. */
export function keysOf(store: MemoryStore, ...replicas: readonly Replica[]): string[] {
  const reading = readData(store.stored()?.data);
  const { signing, next } =
    reading.kind === 'authorities' ? reading.authorities : { signing: undefined, next: undefined };
  const pairs = [signing, next, ...replicas.flatMap(({ served }) => served)].filter(
    (pair) => pair !== undefined,
  );
  return pairs.flatMap(({ privateKey }) => {
    const piece = privateKey.split('\n')[5] ?? privateKey;
    return [piece, Buffer.from(privateKey).toString('base64').slice(200, 260)];
  });
}

/** `GET /metrics`, for Prometheus. The names are a contract: dashboards and alerts are built on them. */
import type { FastifyInstance } from 'fastify';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Denial } from '../gate/admission-review.ts';
import { type Judgement, VERDICTS } from '../gate/lock.ts';

export interface Metrics {
  /** A review was answered, or could not be. `seconds` counts from the end of its body. */
  admission(operation: string, decision: Decision, seconds: number): void;
  /** A call left the gate after it was held. */
  held(seconds: number): void;
  /** A lock was cleared. */
  cleared(how: { readonly strategy: string; readonly trigger: string }): void;
  /** A write of a record ended a lock. `relation` is that of the writer to the holder, `status` the record's own now. */
  ended(how: { readonly relation: string; readonly status: string }): void;
  /** All of it, as text for Prometheus. */
  text(): Promise<string>;
  readonly contentType: string;
}

export type Decision = 'allowed' | `denied-${Denial['code']}` | 'unreadable' | 'hung-up';

export interface MetricsSources {
  /** Whether traffic may come here. */
  readonly isReady: () => boolean;
  /** Calls in the gate now. */
  readonly heldNow: () => number;
  /** The verdict on each lock of the cluster; rejects when it cannot be read. */
  readonly verdicts: () => Promise<readonly Judgement['verdict'][]>;
  /** When each certificate expires, in milliseconds since 1970; undefined if there is none yet. */
  readonly certificates: () => readonly {
    readonly certificate: 'serving' | 'authority';
    readonly expiresAt: number | undefined;
  }[];
  /** When each watch last heard of the API server, in milliseconds since 1970; undefined if it never did. */
  readonly lastEvents: () => readonly { readonly resource: string; readonly at: number | undefined }[];
}

/** From a read in the same rack to the longest time that a webhook may be given. */
const ADMISSION_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const HOLD_BUCKETS = [0.1, 0.5, 1, 2, 5, 10, 20, 30];

/** A review is not to be trusted: whatever else it calls its operation makes no new time series. */
const OPERATIONS = ['CREATE', 'UPDATE', 'DELETE', 'CONNECT'];

/** The statuses with which Helm ends a pending revision; anybody may write others. */
const END_STATUSES = ['deployed', 'failed', 'superseded', 'uninstalling', 'uninstalled', 'unknown'];

export function createMetrics(sources: MetricsSources): Metrics {
  const { isReady, heldNow, verdicts, lastEvents, certificates } = sources;
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });

  new Gauge({
    name: 'lockkeeper_ready',
    help: 'Whether this replica may be asked: 1, or 0 while /readyz answers 503.',
    registers,
    collect() {
      this.set(Number(isReady()));
    },
  });
  const requests = new Counter({
    name: 'lockkeeper_admission_requests_total',
    help: 'Reviews by operation and by what became of them.',
    labelNames: ['operation', 'decision'],
    registers,
  });
  const duration = new Histogram({
    name: 'lockkeeper_admission_duration_seconds',
    help: 'Time from a review to its answer, holds included.',
    buckets: ADMISSION_BUCKETS,
    registers,
  });
  const holds = new Histogram({
    name: 'lockkeeper_hold_duration_seconds',
    help: 'How long held calls were held, by call.',
    buckets: HOLD_BUCKETS,
    registers,
  });
  new Gauge({
    name: 'lockkeeper_held_requests',
    help: 'Calls that are held now.',
    registers,
    collect() {
      this.set(heldNow());
    },
  });
  const cleared = new Counter({
    name: 'lockkeeper_locks_cleared_total',
    help: 'Locks that were cleared, by how and by what asked for it.',
    labelNames: ['strategy', 'trigger'],
    registers,
  });
  const ended = new Counter({
    name: 'lockkeeper_locks_ended_total',
    help: 'Locks that a write of their record ended, by the relation of the writer to the holder and by the new status.',
    labelNames: ['relation', 'status'],
    registers,
  });
  new Gauge({
    name: 'lockkeeper_locks',
    help: 'Releases that are locked now, by the verdict on their locks. Left out when the cluster cannot be read.',
    labelNames: ['verdict'],
    registers,
    async collect() {
      this.reset();
      const found = await verdicts().catch(() => undefined);
      if (found === undefined) return;
      for (const verdict of VERDICTS)
        this.set({ verdict }, found.filter((other) => other === verdict).length);
    },
  });
  new Gauge({
    name: 'lockkeeper_watch_last_event_timestamp_seconds',
    help: 'When a watch last heard of the API server, in seconds since 1970. Bookmarks come about every minute.',
    labelNames: ['resource'],
    registers,
    collect() {
      for (const { resource, at } of lastEvents()) if (at !== undefined) this.set({ resource }, at / 1000);
    },
  });
  new Gauge({
    name: 'lockkeeper_certificate_expiry_timestamp_seconds',
    help: 'When the serving certificate of this replica, and the authority that signs it, expire, in seconds since 1970.',
    labelNames: ['certificate'],
    registers,
    collect() {
      for (const { certificate, expiresAt } of certificates())
        if (expiresAt !== undefined) this.set({ certificate }, expiresAt / 1000);
    },
  });

  return {
    admission(operation, decision, seconds) {
      requests.inc({ operation: OPERATIONS.includes(operation) ? operation : 'other', decision });
      duration.observe(seconds);
    },
    held: (seconds) => holds.observe(seconds),
    cleared: ({ strategy, trigger }) => cleared.inc({ strategy, trigger }),
    ended: ({ relation, status }) =>
      ended.inc({ relation, status: END_STATUSES.includes(status) ? status : 'other' }),
    text: () => registry.metrics(),
    contentType: registry.contentType,
  };
}

export function useMetrics(app: FastifyInstance, metrics: Metrics): void {
  app.get('/metrics', async (_request, reply) => reply.type(metrics.contentType).send(await metrics.text()));
}

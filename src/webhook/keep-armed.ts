/** Keeps the webhook configuration as it should be, whoever changes it. It never makes one: deleting it is the exit. */
import type { Logger } from 'pino';
import type { Clock } from '../clock.ts';
import type {
  AppliedWebhooks,
  WebhookConfiguration,
  WebhookConfigurationStore,
} from '../kubernetes/webhook-configurations.ts';
import { startReconciler } from '../reconciler.ts';
import { isArmed, pathsOf, trusts, whatToApply } from './arm.ts';
import type { PathChoice, Situation } from './choose-path.ts';
import { createPace } from './pace.ts';
import { createSeenPaths } from './seen-paths.ts';

export interface KeepArmedOptions {
  readonly store: WebhookConfigurationStore;
  /** Whether reviews can be answered here. */
  readonly isReady: () => boolean;
  /** PEM of the authorities that API servers are to trust; undefined if others see to that. */
  readonly bundle: () => string | undefined;
  /** Which path API servers are to be told of; undefined if others see to that. */
  readonly choosePath: (
    found: Pick<Situation, 'paths' | 'isArmed' | 'seenMs'>,
    signal: AbortSignal,
  ) => Promise<PathChoice | undefined>;
  /** How long API servers may take to hear of another path, in milliseconds. */
  readonly overlapMs: number;
  /** API servers are told to trust other authorities now. */
  readonly onPublished: () => void;
  /** API servers are told of other paths now. */
  readonly onPaths: () => void;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
}

export interface ArmedWebhook {
  /** When it was first seen that API servers are told to trust this PEM certificate, in milliseconds since 1970. */
  publishedSince(certificate: string): number | undefined;
  /** For how many milliseconds API servers have been told of this path and no other; undefined if they are told of another. */
  onlyPathMs(path: string): number | undefined;
  /** The paths that API servers are told of now, or were told of a moment ago. */
  paths(): readonly string[];
  /** Reads which paths API servers are told of, and changes nothing. */
  look(signal: AbortSignal): Promise<void>;
  /** The configuration has changed, or what it should be. */
  wake(): void;
  stop(): Promise<void>;
}

/** Before it is ready, there is nothing to ask the API server. */
const LOOK_MS = 100;

/**
 * From a ready pod to a Service that leads there on every node, the kubelet's next probe, the endpoints and the
 * proxies take a few seconds. It matters for a webhook without rules only: once, when Lockkeeper is installed.
 */
const SETTLE_MS = 15_000;

const UNCHOSEN: { readonly path: undefined; readonly againMs: number } = {
  path: undefined,
  againMs: Number.POSITIVE_INFINITY,
};

export function keepArmed(options: KeepArmedOptions): ArmedWebhook {
  const { store, isReady, bundle, choosePath, overlapMs, clock, random, log } = options;
  const pace = createPace(clock.now);
  const seen = createSeenPaths(clock.now, overlapMs);
  let readySince: number | undefined;
  let published: { readonly bundle: string; readonly since: number } | undefined;
  let problem: string | undefined;

  async function reconcile(signal: AbortSignal): Promise<number> {
    if (!isReady()) return LOOK_MS;
    readySince ??= clock.now();
    const settlesMs = readySince + SETTLE_MS - clock.now();
    const wanted = bundle();
    const found = await read(signal);
    const { path, againMs } = (found && (await choosePath(situationOf(found), signal))) ?? UNCHOSEN;
    const applied = found && whatToApply(found, { bundle: wanted, path, isSettled: settlesMs <= 0 });
    const restMs = settlesMs > 0 ? Math.min(settlesMs, againMs) : againMs;
    if (!applied) return settled(wanted, found, restMs);
    const what = `${path?.wanted} ${wanted}`;
    const waitMs = pace.wait(what);
    if (waitMs > 0) return settled(wanted, found, waitMs);
    const current = await apply(applied, what, signal);
    return settled(wanted, current, current ? restMs : LOOK_MS); // or somebody else was first
  }

  /** Nothing else is to be done now. Returns for how long. */
  function settled(
    wanted: string | undefined,
    current: WebhookConfiguration | undefined,
    ms: number,
  ): number {
    problem = undefined;
    note(wanted, current);
    return ms;
  }

  /** Notes which paths API servers are told of, too. */
  async function read(signal: AbortSignal): Promise<WebhookConfiguration | undefined> {
    const found = await store.read(signal);
    notePaths(found);
    return found;
  }

  function situationOf(found: WebhookConfiguration) {
    const paths = pathsOf(found);
    return { paths, isArmed: isArmed(found), seenMs: seen.sinceMs() };
  }

  function notePaths(found: WebhookConfiguration | undefined): void {
    if (seen.note(found ? pathsOf(found) : [])) options.onPaths();
  }

  async function apply(
    applied: AppliedWebhooks,
    what: string,
    signal: AbortSignal,
  ): Promise<WebhookConfiguration | undefined> {
    const current = await store.apply(applied, signal);
    if (!current) return undefined;
    notePaths(current);
    pace.done(what);
    log.info({ configuration: store.name }, 'brought the webhook configuration up to date');
    return current;
  }

  /** API servers are told to trust this bundle now, or another one. */
  function note(wanted: string | undefined, current: WebhookConfiguration | undefined): void {
    if (wanted === undefined || !current || !trusts(current, wanted)) published = undefined;
    else if (published?.bundle !== wanted) {
      published = { bundle: wanted, since: clock.date() };
      options.onPublished();
    }
  }

  const reconciler = startReconciler({
    reconcile,
    onError(error) {
      const { message } = error as Error;
      if (message !== problem)
        log.warn({ reason: message }, 'the webhook configuration cannot be kept current');
      problem = message;
    },
    clock,
    random,
  });
  return {
    publishedSince: (certificate) =>
      published?.bundle.includes(certificate.trim()) ? published.since : undefined,
    onlyPathMs: seen.onlyMs,
    paths: seen.recent,
    look: async (signal) => {
      await read(signal);
    },
    wake: reconciler.wake,
    stop: reconciler.stop,
  };
}

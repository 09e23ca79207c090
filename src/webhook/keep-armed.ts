/** Keeps the webhook configuration as it should be, whoever changes it. It never makes one: deleting it is the exit. */
import type { Logger } from 'pino';
import type { Clock } from '../clock.ts';
import type {
  AppliedWebhooks,
  WebhookConfiguration,
  WebhookConfigurationStore,
} from '../kubernetes/webhook-configurations.ts';
import { startReconciler } from '../reconciler.ts';
import { trusts, whatToApply } from './arm.ts';
import { createPace } from './pace.ts';

export interface KeepArmedOptions {
  readonly store: WebhookConfigurationStore;
  /** Whether reviews can be answered here. */
  readonly isReady: () => boolean;
  /** PEM of the authorities that API servers are to trust; undefined if others see to that. */
  readonly bundle: () => string | undefined;
  /** API servers are told to trust other authorities now. */
  readonly onPublished: () => void;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
}

export interface ArmedWebhook {
  /** When it was first seen that API servers are told to trust this PEM certificate, in milliseconds since 1970. */
  publishedSince(certificate: string): number | undefined;
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

export function keepArmed(options: KeepArmedOptions): ArmedWebhook {
  const { store, isReady, bundle, onPublished, clock, random, log } = options;
  const pace = createPace(clock.now);
  let readySince: number | undefined;
  let published: { readonly bundle: string; readonly since: number } | undefined;
  let problem: string | undefined;

  async function reconcile(signal: AbortSignal): Promise<number> {
    if (!isReady()) return LOOK_MS;
    readySince ??= clock.now();
    const settlesIn = readySince + SETTLE_MS - clock.now();
    const wanted = bundle();
    const found = await store.read(signal);
    const applied = found && whatToApply(found, { bundle: wanted, isSettled: settlesIn <= 0 });
    const waitMs = applied ? pace.wait(wanted) : 0;
    const current = applied && waitMs <= 0 ? await apply(applied, wanted, signal) : found;
    problem = undefined;
    note(wanted, current);
    if (applied && !current) return LOOK_MS; // somebody else was first
    if (waitMs > 0) return waitMs;
    return settlesIn > 0 ? settlesIn : Number.POSITIVE_INFINITY;
  }

  async function apply(
    applied: AppliedWebhooks,
    wanted: string | undefined,
    signal: AbortSignal,
  ): Promise<WebhookConfiguration | undefined> {
    const current = await store.apply(applied, signal);
    if (!current) return undefined;
    pace.done(wanted);
    log.info({ configuration: store.name }, 'brought the webhook configuration up to date');
    return current;
  }

  /** API servers are told to trust this bundle now, or another one. */
  function note(wanted: string | undefined, current: WebhookConfiguration | undefined): void {
    if (wanted === undefined || !current || !trusts(current, wanted)) published = undefined;
    else if (published?.bundle !== wanted) {
      published = { bundle: wanted, since: clock.date() };
      onPublished();
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
    wake: reconciler.wake,
    stop: reconciler.stop,
  };
}

/** The tokens in the path of the webhook, which all replicas share through a Secret. */
import type { Logger } from 'pino';
import type { Clock } from '../clock.ts';
import type { SecretStore, StoredSecret } from '../kubernetes/secrets.ts';
import { startReconciler } from '../reconciler.ts';
import {
  forgetTokens,
  introduceToken,
  nextTokenStep,
  promoteToken,
  readTokens,
  type TokenStep,
  type Tokens,
  writeTokens,
} from './tokens.ts';

export interface KeepTokensOptions {
  readonly store: SecretStore;
  /** Makes one that nobody can guess. */
  readonly makeToken: () => string;
  /** For how long each is used, in milliseconds. */
  readonly periodMs: number;
  /** For how many milliseconds API servers have been told this token and no other; undefined if they have not. */
  readonly publishedMs: (token: string) => number | undefined;
  /** There are other tokens to be told of. */
  readonly onTokens: () => void;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
}

export interface TokenKeeper {
  /** Undefined before they were read. */
  tokens(): Tokens | undefined;
  /** Why they cannot be looked after, in words; undefined when all is well. */
  problem(): string | undefined;
  /** Reads what other replicas may have written, and no more. */
  look(signal: AbortSignal): Promise<void>;
  /** The Secret has changed, or what API servers are told. */
  wake(): void;
  stop(): Promise<void>;
}

/** Replicas that start together lose a few times; whoever loses more often takes a breath first. */
const MAX_LOSSES = 5;

/** The tokens, and since when they are known here, by the clock of waits. */
interface Known {
  readonly tokens: Tokens;
  readonly since: number;
}

/** For how long the tokens may stay as they are; or what is to be written, and told when it was. */
type Change = { readonly ms: number } | { readonly tokens: Tokens; readonly told: string };

const TOLD = {
  make: 'made a secret path for the webhook',
  introduce: 'made the next path of the webhook, which API servers are told of when all replicas know it',
  promote: 'API servers are told of the next path of the webhook',
  forget: 'the previous path of the webhook is closed',
} as const;

export function keepTokens(options: KeepTokensOptions): TokenKeeper {
  const { store, makeToken, periodMs, publishedMs, onTokens, clock, random, log } = options;
  const name = `Secret ${store.namespace}/${store.name}`;
  let known: Known | undefined;
  let problem: string | undefined = `${name} has not been read yet`;

  function learn(tokens: Tokens): Known {
    if (known && JSON.stringify(tokens) === JSON.stringify(known.tokens)) return known;
    known = { tokens, since: clock.now() };
    onTokens();
    return known;
  }

  /** Reads the tokens, and writes what is to be changed of them. Returns for how long they may stay as they are. */
  async function settle(signal: AbortSignal, losses = 0): Promise<number> {
    if (losses === MAX_LOSSES)
      throw new Error(`${name} was changed by others each time it was to be written`);
    const stored = await store.read(signal);
    const found = readTokens(stored?.data);
    const change = found ? changeOf(learn(found)) : anew(stored);
    if ('ms' in change) return change.ms;
    const isWritten = await write(stored, change.tokens, signal);
    if (isWritten) log.info({ secret: name }, change.told);
    return settle(signal, isWritten ? losses : losses + 1);
  }

  function changeOf({ tokens, since }: Known): Change {
    const step = stepFor(tokens, since);
    switch (step.kind) {
      case 'wait':
        return step;
      case 'introduce':
        return { tokens: introduceToken(tokens, makeToken(), clock.date()), told: TOLD.introduce };
      case 'promote':
        return { tokens: promoteToken(tokens, step.next), told: TOLD.promote };
      case 'forget':
        return { tokens: forgetTokens(tokens), told: TOLD.forget };
    }
  }

  function stepFor(tokens: Tokens, since: number): TokenStep {
    return nextTokenStep(tokens, {
      date: clock.date(),
      knownMs: clock.now() - since,
      publishedMs: publishedMs(tokens.current),
      periodMs,
    });
  }

  /** Emptied while one is used, the Secret gets it back: API servers send it until they are told of its successor. */
  function anew(stored: StoredSecret | undefined): Change {
    // It may be that Lockkeeper is just being uninstalled, and its Secret is gone before it.
    if (stored === undefined && known)
      throw new Error(`${name} is gone; it is made anew when lockkeeper starts the next time`);
    const date = clock.date();
    if (known) return { tokens: introduceToken(known.tokens, makeToken(), date), told: TOLD.introduce };
    return { tokens: { current: makeToken(), previous: [], madeAt: date }, told: TOLD.make };
  }

  async function write(
    stored: StoredSecret | undefined,
    tokens: Tokens,
    signal: AbortSignal,
  ): Promise<boolean> {
    const data = writeTokens(tokens, stored?.data);
    if (stored) return store.replace(stored, data, signal);
    try {
      return await store.create(data, signal);
    } catch (error) {
      const { message } = error as Error;
      const command = `kubectl create secret generic ${store.name} -n ${store.namespace}`;
      throw new Error(`there is no ${name}, and lockkeeper cannot make it: ${command} (${message})`);
    }
  }

  const reconciler = startReconciler({
    async reconcile(signal) {
      const ms = await settle(signal);
      problem = undefined;
      return ms;
    },
    onError(error) {
      const { message } = error as Error;
      if (message !== problem)
        log.warn({ reason: message }, 'the path of the webhook cannot be looked after');
      problem = message;
    },
    clock,
    random,
  });
  return {
    tokens: () => known?.tokens,
    problem: () => problem,
    async look(signal) {
      const found = readTokens((await store.read(signal))?.data);
      if (found) learn(found);
    },
    wake: reconciler.wake,
    stop: reconciler.stop,
  };
}

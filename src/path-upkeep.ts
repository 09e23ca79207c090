/** The path of the webhook: one that is configured, or a secret one that all replicas share, and that API servers are told of. */
import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import type { Clock } from './clock.ts';
import type { Config } from './config.ts';
import type { KubernetesClient } from './kubernetes/client.ts';
import type { Requests } from './kubernetes/requests.ts';
import { createSecretStore } from './kubernetes/secrets.ts';
import { type AdmissionPaths, createAdmissionPaths, isOneOf } from './webhook/admission-paths.ts';
import { choosePath, isOpenToOlder } from './webhook/choose-path.ts';
import { OPEN_PATH, pathOfToken } from './webhook/client-config.ts';
import type { ArmedWebhook, KeepArmedOptions } from './webhook/keep-armed.ts';
import { keepTokens, type TokenKeeper } from './webhook/keep-tokens.ts';
import { overlapOf, tokensIn } from './webhook/tokens.ts';

export interface PathUpkeepOptions {
  readonly config: Pick<Config, 'admission' | 'authority'>;
  readonly requests: Requests;
  readonly client: Pick<KubernetesClient, 'list'>;
  /** Those that tell API servers of the path. */
  readonly armed: () => readonly ArmedWebhook[];
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
}

export interface PathUpkeep extends Pick<KeepArmedOptions, 'choosePath' | 'overlapMs' | 'onPaths'> {
  readonly admissionPaths: AdmissionPaths;
  /** Whether the Secret is looked after. */
  readonly isSecret: boolean;
  /** Why reviews cannot be sent here, in words. */
  reason(): string | undefined;
  start(): void;
  /** The Secret has changed. */
  wake(): void;
  stop(): Promise<void>;
}

const TOKEN_BYTES = 16;

/** Pods of the chart that lack the label of those which know secret paths; what has finished serves nobody. */
const OLDER_REPLICAS = {
  labelSelector:
    'app.kubernetes.io/name=lockkeeper,app.kubernetes.io/component=admission,!lockkeeper.dev/secret-path',
  fieldSelector: 'status.phase!=Succeeded,status.phase!=Failed',
};

export function createPathUpkeep(options: PathUpkeepOptions): PathUpkeep {
  const { path } = options.config.admission;
  return path === undefined ? secretPath(options) : fixedPath(path, options.log);
}

function fixedPath(path: string, log: Logger): PathUpkeep {
  return {
    admissionPaths: { isRight: (asked) => isOneOf(asked, [path]) },
    isSecret: false,
    choosePath: async () => undefined,
    overlapMs: 0,
    onPaths: () => {},
    reason: () => undefined,
    start() {
      if (path !== OPEN_PATH) return;
      log.warn(
        { path },
        'whoever reaches the port can send reviews: LOCKKEEPER_ADMISSION_PATH can make the path of the webhook a secret',
      );
    },
    wake: () => {},
    stop: async () => {},
  };
}

function secretPath(options: PathUpkeepOptions): PathUpkeep {
  const { config, requests, client, armed, ...shared } = options;
  const { namespace, secret } = config.authority;
  const { clock, log } = shared;
  const periodMs = config.admission.tokenSeconds * 1000;
  const store = createSecretStore(requests, namespace, secret);
  let keeper: TokenKeeper | undefined;
  let unlisted: string | undefined;

  /** Whether there is a replica that knows the open path only; undefined if that cannot be read. */
  async function isOlderReplicaThere(signal: AbortSignal): Promise<boolean | undefined> {
    try {
      const { items } = await client.list('pods', { namespace, ...OLDER_REPLICAS }, signal);
      unlisted = undefined;
      return items.length > 0;
    } catch (error) {
      const { message } = error as Error;
      if (message !== unlisted)
        log.warn({ reason: message }, 'it cannot be told whether there are older replicas');
      unlisted = message;
      return undefined;
    }
  }

  /** Another replica may have told API servers of what this one has not heard of. */
  async function tokensFor(paths: readonly string[], signal: AbortSignal) {
    const tokens = keeper?.tokens();
    if (!tokens || !isOpenToOlder(paths, tokens)) return tokens;
    await keeper?.look(signal);
    return keeper?.tokens();
  }

  function publishedMs(token: string): number | undefined {
    const times = armed().map(({ onlyPathMs }) => onlyPathMs(pathOfToken(token)));
    return times.some((ms) => ms === undefined) ? undefined : Math.min(...(times as number[]));
  }

  function taken(): readonly string[] {
    const tokens = keeper?.tokens();
    const secrets = tokens ? tokensIn(tokens).map(pathOfToken) : [];
    return [...secrets, ...armed().flatMap(({ paths }) => paths())];
  }

  return {
    admissionPaths: createAdmissionPaths({
      taken,
      look: (signal) => Promise.allSettled([keeper, ...armed()].map((part) => part?.look(signal))),
      clock,
      log,
    }),
    isSecret: true,
    async choosePath(found, signal) {
      const tokens = await tokensFor(found.paths, signal);
      if (!tokens) return undefined;
      const older = isOpenToOlder(found.paths, tokens) ? await isOlderReplicaThere(signal) : false;
      return choosePath({ ...found, tokens, isOlderReplicaThere: older });
    },
    overlapMs: overlapOf(periodMs),
    onPaths: () => keeper?.wake(),
    reason: () => {
      if (keeper?.tokens()) return undefined;
      const problem = keeper?.problem() ?? `Secret ${namespace}/${secret} has not been read yet`;
      return `there is no path for reviews: ${problem}`;
    },
    start() {
      keeper = keepTokens({
        store,
        makeToken: () => randomBytes(TOKEN_BYTES).toString('hex'),
        periodMs,
        publishedMs,
        onTokens: () => {
          for (const part of armed()) part.wake();
        },
        ...shared,
      });
    },
    wake: () => keeper?.wake(),
    stop: async () => keeper?.stop(),
  };
}

/**
 * What Lockkeeper looks after besides deploys: the certificate that it serves with, and the webhook configuration that
 * has API servers ask it, and trust it.
 */
import type { Logger } from 'pino';
import type { Clock } from './clock.ts';
import type { Config } from './config.ts';
import { duration } from './gate/words.ts';
import type { KubernetesClient, WebhookConfigurations } from './kubernetes/client.ts';
import type { Requests } from './kubernetes/requests.ts';
import { createSecretStore } from './kubernetes/secrets.ts';
import { type ListWatch, type ListWatchOptions, startListWatch } from './kubernetes/watch.ts';
import { createWebhookConfigurationStore } from './kubernetes/webhook-configurations.ts';
import { timestamp } from './timestamp.ts';
import { validityOf } from './tls/certificate.ts';
import type { KeyPair } from './tls/issue.ts';
import { type SelfManagedSource, selfManaged } from './tls/self-managed.ts';
import type { CertificateSource } from './tls/source.ts';
import { type ArmedWebhook, keepArmed } from './webhook/keep-armed.ts';

export interface UpkeepOptions {
  readonly config: Pick<Config, 'authority' | 'webhookConfiguration'>;
  /** Where the certificate comes from, if not from an authority of our own. */
  readonly source: CertificateSource | undefined;
  readonly requests: Requests;
  readonly client: KubernetesClient;
  /** Whether reviews can be answered here. */
  readonly isReady: () => boolean;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
}

export interface Upkeep {
  /** Each pair to serve with from now on. Called once. */
  start(serve: (pair: KeyPair) => void): void;
  /** Why nobody can be served, one reason each. */
  reasons(): readonly string[];
  /** How long the certificate still lives, and what keeps it from being renewed, a line each. */
  notes(): readonly string[];
  /** In milliseconds since 1970; undefined if there is none, or it is somebody else's. */
  expiries(): readonly {
    readonly certificate: 'serving' | 'authority';
    readonly expiresAt: number | undefined;
  }[];
  stop(): Promise<void>;
}

export function createUpkeep(options: UpkeepOptions): Upkeep {
  const { config, requests, client, isReady, clock, random, log } = options;
  const { authority, webhookConfiguration } = config;
  const shared = { clock, random, log };
  let webhook: ArmedWebhook | undefined;
  /** Has API servers tell of what the fence refuses; nobody's deploy depends on it. */
  let observer: ArmedWebhook | undefined;
  let watches: readonly ListWatch[] = [];
  let servedUntil: number | undefined;
  const own = options.source ? undefined : ownSource();
  const source: CertificateSource = options.source ?? (own as SelfManagedSource);

  function ownSource(): SelfManagedSource {
    const { namespace, secret, ...rest } = authority;
    return selfManaged({
      store: createSecretStore(requests, namespace, secret),
      publishedSince: (certificate) => webhook?.publishedSince(certificate),
      onBundle() {
        webhook?.wake();
        observer?.wake();
      },
      ...rest,
      ...shared,
    });
  }

  /** Wakes whoever looks after the one object of this name, when it changes. */
  function follow(
    what: Pick<ListWatchOptions, 'resource' | 'namespace'>,
    name: string,
    wake: () => void,
  ): ListWatch {
    const fieldSelector = `metadata.name=${name}`;
    return startListWatch({ client, ...what, fieldSelector, onList: wake, onEvent: wake, ...shared });
  }

  function keep(resource: WebhookConfigurations, name: string): ArmedWebhook {
    const store = createWebhookConfigurationStore(requests, resource, name);
    const bundle = () => own?.bundle();
    const onPublished = () => own?.wake();
    const armed = keepArmed({ store, isReady, bundle, onPublished, ...shared });
    watches = [...watches, follow({ resource }, name, armed.wake)];
    return armed;
  }

  return {
    start(serve) {
      source.start((pair) => {
        servedUntil = validityOf(pair.certificate).to;
        serve(pair);
      });
      if (own !== undefined) {
        const { namespace, secret } = authority;
        watches = [follow({ resource: 'secrets', namespace }, secret, own.wake)];
      }
      if (webhookConfiguration === undefined) return;
      webhook = keep('validatingwebhookconfigurations', webhookConfiguration);
      observer = keep('mutatingwebhookconfigurations', webhookConfiguration);
    },
    reasons() {
      if (servedUntil === undefined) return [`there is no serving certificate: ${source.problem()}`];
      const isExpired = clock.date() >= servedUntil;
      return isExpired ? [`the serving certificate has expired, at ${timestamp(servedUntil)}`] : [];
    },
    notes() {
      const problem = source.problem();
      const left = servedUntil === undefined ? 0 : Math.floor((servedUntil - clock.date()) / 1000);
      return [
        ...(left > 0 ? [`the serving certificate is valid for ${duration(left)}`] : []),
        ...(left > 0 && problem !== undefined ? [`it cannot be renewed: ${problem}`] : []),
      ];
    },
    expiries: () => [
      { certificate: 'serving', expiresAt: servedUntil },
      { certificate: 'authority', expiresAt: own?.authorityExpiresAt() },
    ],
    async stop() {
      const armed = [webhook, observer].filter((part) => part !== undefined);
      await Promise.all([source, ...armed, ...watches].map((part) => part.stop()));
    },
  };
}

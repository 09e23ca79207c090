/**
 * What Lockkeeper looks after besides deploys: the certificate that it serves with, the path at which it is asked, and the webhook
 * configuration that has API servers ask it there, and trust it.
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
import { createPathUpkeep } from './path-upkeep.ts';
import { timestamp } from './timestamp.ts';
import { validityOf } from './tls/certificate.ts';
import { type ClientCa, followClientCa } from './tls/client-ca.ts';
import type { KeyPair } from './tls/issue.ts';
import { type SelfManagedSource, selfManaged } from './tls/self-managed.ts';
import type { CertificateSource } from './tls/source.ts';
import type { AdmissionPaths } from './webhook/admission-paths.ts';
import { type ArmedWebhook, keepArmed } from './webhook/keep-armed.ts';

export interface UpkeepOptions {
  readonly config: Pick<Config, 'admission' | 'authority' | 'clientCaFile' | 'webhookConfiguration'>;
  /** Where the certificate comes from, if not from an authority of our own. */
  readonly source: CertificateSource | undefined;
  /** What the file of the client CA held at the start. */
  readonly clientCa?: string | undefined;
  readonly requests: Requests;
  readonly client: KubernetesClient;
  /** Whether reviews can be answered here. */
  readonly isReady: () => boolean;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
}

/** What the HTTPS listener serves with, and whose clients it lets send reviews. */
export interface Served extends KeyPair {
  readonly clientCa?: string;
}

export interface Upkeep {
  /** Where reviews come. */
  readonly admissionPaths: AdmissionPaths;
  /** What to serve with from now on, each time that it changes. Called once. */
  start(serve: (tls: Served) => void): void;
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
  const armed = () => [webhook, observer].filter((part) => part !== undefined);
  let watches: readonly ListWatch[] = [];
  let served: KeyPair | undefined;
  let servedUntil: number | undefined;
  let { clientCa } = options;
  let clientCas: ClientCa | undefined;
  const own = options.source ? undefined : ownSource();
  const source: CertificateSource = options.source ?? (own as SelfManagedSource);
  const path = createPathUpkeep({ config, requests, client, armed, ...shared });

  function ownSource(): SelfManagedSource {
    const { namespace, secret, ...rest } = authority;
    return selfManaged({
      store: createSecretStore(requests, namespace, secret),
      publishedSince: (certificate) => webhook?.publishedSince(certificate),
      onBundle() {
        for (const part of armed()) part.wake();
      },
      ...rest,
      ...shared,
    });
  }

  /** Undefined if none is demanded. */
  function keepClientCa(onChange: () => void): ClientCa | undefined {
    const { clientCaFile: file } = config;
    if (file === undefined || clientCa === undefined) return undefined;
    return followClientCa({
      file,
      first: clientCa,
      onChange(pem) {
        clientCa = pem;
        onChange();
      },
      ...shared,
    });
  }

  function reasonOfCertificate(): string | undefined {
    if (servedUntil === undefined) return `there is no serving certificate: ${source.problem()}`;
    const isExpired = clock.date() >= servedUntil;
    return isExpired ? `the serving certificate has expired, at ${timestamp(servedUntil)}` : undefined;
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
    const { choosePath, overlapMs, onPaths } = path;
    const kept = keepArmed({
      ...{ store, isReady, bundle, onPublished, choosePath, overlapMs, onPaths },
      ...shared,
    });
    watches = [...watches, follow({ resource }, name, kept.wake)];
    return kept;
  }

  return {
    admissionPaths: path.admissionPaths,
    start(serve) {
      const serveAll = () => {
        if (served) serve({ ...served, ...(clientCa !== undefined && { clientCa }) });
      };
      source.start((pair) => {
        servedUntil = validityOf(pair.certificate).to;
        served = pair;
        serveAll();
      });
      clientCas = keepClientCa(serveAll);
      path.start();
      if (own !== undefined || path.isSecret) {
        const { namespace, secret } = authority;
        const wake = () => {
          own?.wake();
          path.wake();
        };
        watches = [follow({ resource: 'secrets', namespace }, secret, wake)];
      }
      if (webhookConfiguration === undefined) return;
      webhook = keep('validatingwebhookconfigurations', webhookConfiguration);
      observer = keep('mutatingwebhookconfigurations', webhookConfiguration);
    },
    reasons: () => [reasonOfCertificate(), path.reason()].filter((reason) => reason !== undefined),
    notes() {
      const problem = source.problem();
      const problemOfClients = clientCas?.problem();
      const left = servedUntil === undefined ? 0 : Math.floor((servedUntil - clock.date()) / 1000);
      return [
        ...(left > 0 ? [`the serving certificate is valid for ${duration(left)}`] : []),
        ...(left > 0 && problem !== undefined ? [`it cannot be renewed: ${problem}`] : []),
        ...(problemOfClients === undefined ? [] : [`the client CA stays as it was: ${problemOfClients}`]),
      ];
    },
    expiries: () => [
      { certificate: 'serving', expiresAt: servedUntil },
      { certificate: 'authority', expiresAt: own?.authorityExpiresAt() },
    ],
    async stop() {
      const parts = [source, path, clientCas, ...armed(), ...watches];
      await Promise.all(parts.map((part) => part?.stop()));
    },
  };
}

/** The webhook configurations that tell API servers to ask Lockkeeper. */
import { pathOf, type WebhookConfigurations } from './client.ts';
import { LOST, orNone, type Requests } from './requests.ts';

export interface WebhookConfigurationStore {
  /** As people write it: `ValidatingWebhookConfiguration/lockkeeper`. */
  readonly name: string;
  /** Undefined if there is none. */
  read(signal: AbortSignal): Promise<WebhookConfiguration | undefined>;
  /**
   * Server-side apply: these fields are Lockkeeper's from now on, and those that it applied before and leaves out now
   * are nobody's. Returns what is stored then, or undefined if it was changed or deleted meanwhile.
   */
  apply(applied: AppliedWebhooks, signal: AbortSignal): Promise<WebhookConfiguration | undefined>;
}

/** As the API server has it, as far as it concerns Lockkeeper. */
export interface WebhookConfiguration {
  readonly metadata: { readonly name: string; readonly uid: string; readonly resourceVersion: string };
  readonly webhooks?: readonly Webhook[];
}

export interface Webhook {
  readonly name: string;
  readonly clientConfig: ClientConfig;
  readonly rules?: readonly object[];
}

/** Whom API servers ask, and whom they trust. A URL, or a Service. */
export interface ClientConfig {
  readonly url?: string;
  readonly service?: { readonly path?: string };
  /** Base64 of PEM. */
  readonly caBundle?: string;
}

/** The version that was looked at, and the fields to apply to each of its webhooks. */
export interface AppliedWebhooks {
  readonly metadata: WebhookConfiguration['metadata'];
  readonly webhooks: readonly AppliedWebhook[];
}

export interface AppliedWebhook {
  readonly name: string;
  readonly clientConfig?: ClientConfig;
  readonly rules?: readonly object[];
}

/** Helm, Argo CD and kubectl own the other fields, under their names. */
const FIELD_MANAGER = 'lockkeeper';

const KINDS: Readonly<Record<WebhookConfigurations, string>> = {
  validatingwebhookconfigurations: 'ValidatingWebhookConfiguration',
  mutatingwebhookconfigurations: 'MutatingWebhookConfiguration',
};

export function createWebhookConfigurationStore(
  { read, apply }: Pick<Requests, 'read' | 'apply'>,
  resource: WebhookConfigurations,
  name: string,
): WebhookConfigurationStore {
  const path = `${pathOf(resource)}/${encodeURIComponent(name)}`;
  return {
    name: `${KINDS[resource]}/${name}`,
    read: (signal) => orNone(read<WebhookConfiguration>(path, { accept: 'application/json' }, signal)),
    apply({ metadata: { uid, resourceVersion }, webhooks }, signal) {
      const configuration = {
        apiVersion: 'admissionregistration.k8s.io/v1',
        kind: KINDS[resource],
        // Without them, an apply would make a configuration that was deleted meanwhile: the emergency exit.
        metadata: { name, uid, resourceVersion },
        webhooks,
      };
      const query = new URLSearchParams({ fieldManager: FIELD_MANAGER, force: 'true' });
      return orNone(apply<WebhookConfiguration>(`${path}?${query}`, configuration, signal), LOST);
    },
  };
}

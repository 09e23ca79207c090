import type { ApiClient } from '../clusters/client.ts';
import { GATE_WEBHOOKS_PATH, gateWebhook } from '../support/gate-webhook.ts';
import { record } from '../support/records.ts';
import { serving } from '../support/serving.ts';

/** Has the API server ask Lockkeeper at this address. Resolves when it does. */
export async function askThrough(admin: ApiClient, { url }: { readonly url: string }): Promise<void> {
  await admin.create(GATE_WEBHOOKS_PATH, gateWebhook({ url, caCertificate: serving.caCertificate }));
  await untilAsked(admin);
}

/** A real API server takes some milliseconds to hear of a configuration. */
export async function untilAsked(admin: ApiClient): Promise<void> {
  const liar = record('probe', 1, 'pending-install');
  liar.metadata.labels.version = '2';
  // Lockkeeper refuses it as malformed, with 400; without Lockkeeper, it would be as good as any Secret.
  while ((await admin.request('POST', '/api/v1/namespaces/prod/secrets?dryRun=All', liar)).code !== 400);
}

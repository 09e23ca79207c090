import type { ApiClient } from '../clusters/client.ts';
import { GATE_WEBHOOKS_PATH, gateWebhook } from '../support/gate-webhook.ts';
import { record } from '../support/records.ts';
import { serving } from '../support/serving.ts';

/** Has the API server ask Lockkeeper at this address. Resolves when it does: a real one takes some milliseconds. */
export async function askThrough(
  admin: ApiClient,
  { url, caCertificate = serving.caCertificate }: { readonly url: string; readonly caCertificate?: string },
): Promise<void> {
  await admin.create(GATE_WEBHOOKS_PATH, gateWebhook({ url, caCertificate }));
  const liar = record('probe', 1, 'pending-install');
  liar.metadata.labels.version = '2';
  for (;;) {
    const { code } = await admin.request('POST', '/api/v1/namespaces/prod/secrets?dryRun=All', liar);
    // Lockkeeper refuses it as malformed.
    if (code === 400) return;
  }
}

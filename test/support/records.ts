/** Helm release records for tests that need no Helm. */
export interface RecordOptions {
  readonly namespace?: string;
  readonly driver?: 'secrets' | 'configmaps';
  readonly payload?: string;
}

/** A record as Helm's drivers write it, but for the payload, which is as given. */
export function record(release: string, revision: number, status: string, options: RecordOptions = {}) {
  const { namespace = 'prod', driver = 'secrets', payload = '' } = options;
  const inSecret = driver === 'secrets';
  return {
    apiVersion: 'v1',
    kind: inSecret ? 'Secret' : 'ConfigMap',
    metadata: {
      name: `sh.helm.release.v1.${release}.v${revision}`,
      namespace,
      labels: { owner: 'helm', name: release, status, version: String(revision) },
    },
    ...(inSecret && { type: 'helm.sh/release.v1' }),
    data: { release: inSecret ? Buffer.from(payload).toString('base64') : payload },
  };
}

/**
 * Makes Helm's records look older, on a cluster whose clock is that of the machine. The API server stamps the times
 * itself and lets nobody change them, so this writes to its etcd, where it finds them as if they had always been so.
 */
import type { ApiClient } from '../client.ts';
import type { StoredObject } from '../kubernetes-object.ts';

const KINDS = [
  { kind: 'Secret', resource: 'secrets' },
  { kind: 'ConfigMap', resource: 'configmaps' },
] as const;

/** @param etcd URL of the etcd, whose gateway speaks JSON */
export async function age(admin: ApiClient, etcd: string, milliseconds: number): Promise<void> {
  for (const { kind, resource } of KINDS) {
    for (const item of await admin.list(`/api/v1/${resource}?labelSelector=owner%3Dhelm`)) {
      let record: StoredObject | undefined = item;
      const { namespace, name } = item.metadata;
      // Whoever wrote in between has the newer record, which is the one that has to grow older.
      while (
        record &&
        !(await store(etcd, `/registry/${resource}/${namespace}/${name}`, kind, record, milliseconds))
      ) {
        const { code, body } = await admin.request(
          'GET',
          `/api/v1/namespaces/${namespace}/${resource}/${name}`,
        );
        record = code === 200 ? body : undefined;
      }
    }
  }
}

/** Returns whether it was still the record of this resourceVersion. */
async function store(etcd: string, path: string, kind: string, record: StoredObject, milliseconds: number) {
  const { resourceVersion, ...metadata } = record.metadata;
  const older = (time: string) =>
    new Date(Date.parse(time) - milliseconds).toISOString().replace(/\.\d+Z$/, 'Z');
  const aged = {
    ...record,
    // Lists leave these two out.
    apiVersion: 'v1',
    kind,
    metadata: {
      ...metadata,
      creationTimestamp: older(metadata.creationTimestamp),
      managedFields: metadata.managedFields?.map((entry) => ({ ...entry, time: older(entry.time) })),
    },
  };
  const key = base64(path);
  const response = await fetch(`${etcd}/v3/kv/txn`, {
    method: 'POST',
    body: JSON.stringify({
      compare: [{ key, target: 'MOD', result: 'EQUAL', mod_revision: resourceVersion }],
      success: [{ request_put: { key, value: base64(JSON.stringify(aged)) } }],
    }),
  });
  const answer = (await response.json()) as { succeeded?: boolean; message?: string };
  if (!response.ok) throw new Error(`etcd: ${response.status} ${answer.message}`);
  return answer.succeeded === true;
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

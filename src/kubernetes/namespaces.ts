/** What people have written on a namespace. */
import type { RecordMetadata } from '../helm/release.ts';
import { isObjectOf } from './answers.ts';
import type { Requests } from './requests.ts';

/** @throws if it cannot be read, or the answer is no such namespace */
export function createNamespaceReader({ read }: Pick<Requests, 'read'>) {
  return async (namespace: string, signal: AbortSignal): Promise<Readonly<Record<string, string>>> => {
    const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}`;
    const stored = await read<{ metadata: RecordMetadata }>(path, { accept: 'application/json' }, signal);
    if (!isObjectOf(stored, namespace))
      throw new Error(`the answer about namespace ${namespace} is no such namespace`);
    return stored.metadata.annotations ?? {};
  };
}

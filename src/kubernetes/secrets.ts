/** One Secret of Lockkeeper's own, by its name. Writes carry the version that they are based on. */
import { pathOf } from './client.ts';
import { isDone, orNone, type Requests } from './requests.ts';

export interface SecretStore {
  readonly namespace: string;
  readonly name: string;
  /** Undefined if there is none. */
  read(signal: AbortSignal): Promise<StoredSecret | undefined>;
  /** False if there is one already. */
  create(data: SecretData, signal: AbortSignal): Promise<boolean>;
  /** False if it is no longer the one that was read. */
  replace(stored: StoredSecret, data: SecretData, signal: AbortSignal): Promise<boolean>;
}

/** Each value is base64. */
type SecretData = Readonly<Record<string, string>>;

/** As the API server has it; fields that are not named here are kept as they are. */
export interface StoredSecret {
  readonly metadata: { readonly name: string; readonly resourceVersion: string };
  readonly data?: SecretData;
}

export function createSecretStore(
  { read, write }: Pick<Requests, 'read' | 'write'>,
  namespace: string,
  name: string,
): SecretStore {
  const collection = pathOf('secrets', namespace);
  const path = `${collection}/${encodeURIComponent(name)}`;
  return {
    namespace,
    name,
    read: (signal) => orNone(read<StoredSecret>(path, { accept: 'application/json' }, signal)),
    create(data, signal) {
      const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, data };
      return isDone(write('POST', collection, secret, signal), [409]);
    },
    replace: (stored, data, signal) => isDone(write('PUT', path, { ...stored, data }, signal)),
  };
}

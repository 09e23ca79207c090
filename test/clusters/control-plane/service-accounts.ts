/** Tokens of service accounts, as the API server gives them to pods. */
import type { ApiClient } from '../client.ts';
import type { User } from '../cluster.ts';

/** How an API server says in which pod a token lives. */
const POD_NAME = 'authentication.kubernetes.io/pod-name';

/** A token of a service account, which is made if need be; bound to the pod that `extra` names, which is made, too. */
export async function serviceAccountToken(admin: ApiClient, { username, extra }: User): Promise<string> {
  const [, , namespace = '', name = ''] = username.split(':');
  await ensure(admin, '/api/v1/namespaces', { metadata: { name: namespace } });
  const accounts = `/api/v1/namespaces/${namespace}/serviceaccounts`;
  await ensure(admin, accounts, { metadata: { name } });
  const [podName] = extra?.[POD_NAME] ?? [];
  const boundObjectRef = podName === undefined ? undefined : await pod(admin, namespace, name, podName);
  const review = await admin.create(`${accounts}/${name}/token`, {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: { ...(boundObjectRef && { boundObjectRef }) },
  });
  return (review as unknown as { status: { token: string } }).status.token;
}

/** A pod that no node ever runs. */
async function pod(admin: ApiClient, namespace: string, serviceAccountName: string, name: string) {
  const pods = `/api/v1/namespaces/${namespace}/pods`;
  await ensure(admin, pods, {
    metadata: { name },
    spec: { serviceAccountName, containers: [{ name: 'runner', image: 'none' }] },
  });
  const { metadata } = await admin.get(`${pods}/${name}`);
  return { apiVersion: 'v1', kind: 'Pod', name, uid: metadata.uid };
}

/** Creates it unless it is there. */
async function ensure(admin: ApiClient, path: string, object: object): Promise<void> {
  const { code, body } = await admin.request<{ message?: string }>('POST', path, object);
  if (code >= 400 && code !== 409) throw new Error(`POST ${path}: ${code} ${body.message}`);
}

/** Kubeconfig files for the users of a throw-away cluster. JSON is YAML, so clients read it. */
import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { User } from './cluster.ts';

export interface KubeconfigContent {
  readonly url: string;
  readonly caCertificate: string;
  readonly token: string;
  readonly user: User;
  readonly namespace: string | undefined;
}

/** Returns the path of a new file that only its owner can read: Helm warns about others. */
export async function writeKubeconfig(folder: string, content: KubeconfigContent): Promise<string> {
  const path = join(folder, `kubeconfig-${randomUUID()}`);
  await writeFile(path, JSON.stringify(kubeconfigOf(content), null, 2), { mode: 0o600 });
  return path;
}

function kubeconfigOf({
  url,
  caCertificate,
  token,
  user: { username },
  namespace,
}: KubeconfigContent): object {
  const name = 'cluster';
  return {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name,
        cluster: { server: url, 'certificate-authority-data': Buffer.from(caCertificate).toString('base64') },
      },
    ],
    users: [{ name: username, user: { token } }],
    contexts: [
      { name, context: { cluster: name, user: username, ...(namespace !== undefined && { namespace }) } },
    ],
    'current-context': name,
  };
}

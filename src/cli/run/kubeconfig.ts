/** The kubeconfig that leads a Helm to the proxy: its context is called as the real one, for what Helm starts itself. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HelmProxy } from './proxy.ts';

export interface ThrowAway {
  readonly path: string;
  remove(): Promise<void>;
}

export interface Context {
  readonly name: string;
  readonly namespace: string;
}

/** In a folder that nobody else can open. JSON is YAML. */
export async function writeKubeconfig(
  { url, caCertificate, token }: Pick<HelmProxy, 'url' | 'caCertificate' | 'token'>,
  { name, namespace }: Context,
): Promise<ThrowAway> {
  const folder = await mkdtemp(join(tmpdir(), 'lockkeeper-run-'));
  const path = join(folder, 'kubeconfig');
  const cluster = {
    server: url,
    'certificate-authority-data': Buffer.from(caCertificate).toString('base64'),
  };
  const content = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'lockkeeper-run', cluster }],
    users: [{ name: 'lockkeeper-run', user: { token } }],
    contexts: [{ name, context: { cluster: 'lockkeeper-run', user: 'lockkeeper-run', namespace } }],
    'current-context': name,
  };
  await writeFile(path, JSON.stringify(content), { mode: 0o600 });
  return { path, remove: () => rm(folder, { recursive: true, force: true }) };
}

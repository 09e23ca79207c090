/** `deploy/lockkeeper.yaml`: what the chart makes of its defaults, for those who install without Helm. */
import { fileURLToPath } from 'node:url';
import { helmBinary, type NpmHelmVersion } from '../test/tools/binaries.ts';
import { run } from '../test/tools/run.ts';

export const CHART = fileURLToPath(new URL('chart', import.meta.url));

export const MANIFEST = fileURLToPath(new URL('lockkeeper.yaml', import.meta.url));

/** What `helm install --create-namespace` would make, and with it a promise that is kept. */
const HEAD = `# Lockkeeper, without Helm: kubectl apply --server-side -f deploy/lockkeeper.yaml
#
# This is what deploy/chart makes of its default values; \`npm run manifests\` writes it. It lacks what only Helm runs: the
# test, and what an uninstall does first. So before you delete it, take the gate away:
#   kubectl delete validatingwebhookconfiguration lockkeeper
apiVersion: v1
kind: Namespace
metadata:
  name: lockkeeper
  labels:
    pod-security.kubernetes.io/enforce: restricted
`;

export interface RenderOptions {
  readonly version: NpmHelmVersion;
  /** Beside the chart's own. */
  readonly values?: object;
  readonly hooks?: boolean;
}

/** The oldest that the chart is for. */
const KUBE_VERSION = '1.30.0';

/**
 * `helm template`, of a release called lockkeeper in a namespace of that name.
 * @throws Error with Helm's words when it refuses the values
 */
export async function renderChart({ version, values = {}, hooks = true }: RenderOptions): Promise<string> {
  const { helm } = await helmBinary(version);
  const release = ['lockkeeper', CHART, '--namespace', 'lockkeeper', '--kube-version', KUBE_VERSION];
  const options = ['--values', '-', ...(hooks ? [] : ['--no-hooks'])];
  const { code, stdout, stderr } = await run(helm, ['template', ...release, ...options], {
    input: JSON.stringify(values),
  });
  if (code !== 0) throw new Error(stderr);
  return stdout;
}

/** Always by the same Helm: others sort in other ways. */
export async function renderManifest(): Promise<string> {
  return HEAD + (await renderChart({ version: '4.1.4', hooks: false }));
}

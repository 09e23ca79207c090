/** People who install the chart on a real cluster, and stand-ins for who else has a hand in it. */
import type { Test } from 'tap';
import { CHART } from '../../deploy/render.ts';
import type { ApiClient } from '../clusters/client.ts';
import type { ControlPlane } from '../clusters/control-plane/cluster.ts';
import { pathOfVersion, resourcesOf } from '../clusters/control-plane/discovery.ts';
import type { StoredObject } from '../clusters/kubernetes-object.ts';
import { emptyControlPlane } from '../clusters/start.ts';
import { GATE_WEBHOOKS_PATH, gateWebhook } from '../support/gate-webhook.ts';
import { undefineReleaseLocks } from '../support/manifests.ts';
import { serving } from '../support/serving.ts';
import { type HelmVersion, helmBinary } from '../tools/binaries.ts';
import { helmEnvironment, type RunResult, run } from '../tools/run.ts';

export const CONFIGURATION_PATH = `${GATE_WEBHOOKS_PATH}/lockkeeper`;

export interface ChartWorld {
  readonly cluster: ControlPlane;
  readonly admin: ApiClient;
  /** Of the release lockkeeper in the namespace lockkeeper, by alice: `install`, with values of the chart. */
  helm(version: HelmVersion, command: string, values?: object): Promise<RunResult>;
  kubectl(...args: readonly string[]): Promise<RunResult>;
}

/** Priority levels are of no test but these. */
const FLOW_CONTROL = '/apis/flowcontrol.apiserver.k8s.io/v1';

/** With a namespace lockkeeper that keeps pods restricted, and one for deploys, prod. */
export async function chartWorld(t: Test): Promise<ChartWorld> {
  const cluster = await emptyControlPlane(t);
  const admin = await cluster.client();
  await undefineReleaseLocks(admin);
  await admin.createNamespace('lockkeeper', { 'pod-security.kubernetes.io/enforce': 'restricted' });
  await admin.createNamespace('prod');
  t.teardown(async () => {
    for (const kind of ['flowschemas', 'prioritylevelconfigurations']) {
      await admin.remove(`${FLOW_CONTROL}/${kind}?labelSelector=app.kubernetes.io/name%3Dlockkeeper`);
    }
  });
  const kubeconfig = await cluster.kubeconfig({ user: { username: 'alice' }, namespace: 'lockkeeper' });
  const env = helmEnvironment({ folder: cluster.folder, kubeconfig });
  return {
    cluster,
    admin,
    async helm(version, command, values) {
      const { helm } = await helmBinary(version);
      const withValues = values === undefined ? [] : [CHART, '--values', '-'];
      return run(helm, [command, 'lockkeeper', ...withValues], {
        env,
        ...(values && { input: JSON.stringify(values) }),
      });
    },
    async kubectl(...args) {
      const { kubectl } = await helmBinary('4.1.4');
      return run(kubectl, args, { env });
    },
  };
}

/** As Lockkeeper does it when it is ready: the rules, and whom to trust, under a name of its own. */
export async function arm(admin: ApiClient): Promise<void> {
  const { webhooks } = gateWebhook({ url: '', caCertificate: serving.caCertificate });
  const applied = webhooks.map(({ name, rules, clientConfig: { caBundle } }) => ({
    name,
    rules,
    clientConfig: { caBundle },
  }));
  await applyAs(admin, 'lockkeeper', applied);
}

/** Server-side apply of what one manager says of the webhooks. */
export async function applyAs(admin: ApiClient, manager: string, webhooks: readonly object[]): Promise<void> {
  const path = `${CONFIGURATION_PATH}?fieldManager=${manager}&force=true`;
  const configuration = {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    metadata: { name: 'lockkeeper' },
    webhooks,
  };
  const headers = { 'content-type': 'application/apply-patch+yaml' };
  const { code, body } = await admin.request<{ message?: string }>('PATCH', path, configuration, { headers });
  if (code !== 200) throw new Error(`${code} ${body.message}`);
}

/** What else an API server makes by itself, at any time. */
const OTHERS_OWN = ['events', 'leases'];

/** All objects of the cluster, as `/api/v1/secrets lockkeeper/lockkeeper-ca`. */
export async function everything(admin: ApiClient): Promise<string[]> {
  const { body } = await admin.request<{ groups: { preferredVersion: { groupVersion: string } }[] }>(
    'GET',
    '/apis',
  );
  const versions = ['v1', ...body.groups.map(({ preferredVersion }) => preferredVersion.groupVersion)];
  const found = await Promise.all(versions.map((version) => allOf(admin, version)));
  return found.flat().sort();
}

async function allOf(admin: ApiClient, version: string): Promise<string[]> {
  const resources = await resourcesOf(admin, version);
  const listed = resources.filter(({ name, verbs }) => verbs.includes('list') && !OTHERS_OWN.includes(name));
  const found = await Promise.all(
    listed.map(async ({ name }) => {
      const path = `${pathOfVersion(version)}/${name}`;
      const nameOf = ({ metadata }: StoredObject) =>
        [metadata.namespace, metadata.name].filter(Boolean).join('/');
      return (await admin.list(path)).map((object) => `${path} ${nameOf(object)}`);
    }),
  );
  return found.flat();
}

interface PodSpec {
  readonly serviceAccountName: string;
  readonly containers: readonly [
    {
      readonly name: string;
      readonly args: readonly string[];
      readonly env: readonly { name: string; value: string }[];
    },
  ];
}

/** Runs the self-test of the next pod with that name, as a kubelet would, and tells how it ended. What it printed. */
export async function playKubelet({ cluster, admin }: ChartWorld, name: string): Promise<string> {
  const pods = '/api/v1/namespaces/lockkeeper/pods';
  const stop = new AbortController();
  for await (const { type, object } of admin.watch(`${pods}?watch=true`, { signal: stop.signal })) {
    if (type !== 'ADDED' || object.metadata.name !== name) continue;
    const { serviceAccountName, containers } = object.spec as PodSpec;
    const [{ name: container, args, env }] = containers;
    const username = `system:serviceaccount:lockkeeper:${serviceAccountName}`;
    const KUBECONFIG = await cluster.kubeconfig({ user: { username } });
    const program = args.map((file) => file.replace(/^dist\/(.*)\.js$/, 'src/$1.ts'));
    const environment = Object.fromEntries(env.map(({ name, value }) => [name, value]));
    const { code, stdout } = await run(process.execPath, program, { env: { ...environment, KUBECONFIG } });
    const state = { terminated: { exitCode: code, reason: code === 0 ? 'Completed' : 'Error' } };
    const status = {
      phase: code === 0 ? 'Succeeded' : 'Failed',
      containerStatuses: [{ name: container, state, image: '', imageID: '', ready: false, restartCount: 0 }],
    };
    await admin.patch(`${pods}/${name}/status`, { status });
    stop.abort();
    return stdout;
  }
  throw new Error(`no pod ${name} came`);
}

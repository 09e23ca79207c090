/** The chart's containers, started from a rehearsed image as the kubelet would: their environment, their service account. */
import { chmod, mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Cluster, User } from '../clusters/cluster.ts';
import { createLogReader, type LogReader } from '../support/log.ts';
import type { RunningProgram } from '../tools/run.ts';
import type { Image } from './build.ts';
import { type Confinement, startContainer } from './container.ts';

/** As a manifest has it, as far as the chart goes. */
export interface ContainerSpec {
  /** In place of the image's entrypoint. */
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly env: readonly {
    readonly name: string;
    readonly value?: string;
    readonly valueFrom?: { readonly fieldRef: { readonly fieldPath: string } };
  }[];
}

export interface PodOptions {
  readonly image: Image;
  readonly spec: ContainerSpec;
  readonly cluster: Cluster;
  readonly confinement: Confinement;
  /** Whose account it has. */
  readonly user: User;
  readonly namespace: string;
}

export interface Pod {
  readonly program: RunningProgram;
  readonly logs: LogReader;
}

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

export async function startPod(options: PodOptions): Promise<Pod> {
  const { image, spec, confinement, namespace } = options;
  const account = await serviceAccount(options);
  const { hostname, port } = new URL(options.cluster.url);
  const fields: Readonly<Record<string, string>> = { 'metadata.namespace': namespace };
  const environment = spec.env.map(({ name, value, valueFrom }) => {
    return [name, value ?? fields[valueFrom?.fieldRef.fieldPath ?? ''] ?? ''];
  });
  const logs = createLogReader();
  const program = await startContainer(
    { ...image, ...(spec.command && { entrypoint: spec.command, cmd: [] }) },
    {
      confinement,
      ...(spec.args && { args: spec.args }),
      onOutput: logs.write,
      env: {
        ...Object.fromEntries(environment),
        // On the file system of this machine, nothing is where a pod looks for it.
        ...(confinement === 'sealed'
          ? { KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port }
          : { KUBECONFIG: join(account, 'kubeconfig') }),
      },
      mounts: { [SERVICE_ACCOUNT]: account },
    },
  );
  return { program, logs };
}

/** What a pod finds in its volume, in a folder that goes with the cluster; and a kubeconfig that says the same. */
async function serviceAccount({ cluster, user, namespace }: PodOptions): Promise<string> {
  await chmod(cluster.folder, 0o711);
  const folder = await mkdtemp(join(cluster.folder, 'account-'));
  await chmod(folder, 0o755);
  await mkdir(folder, { recursive: true });
  const files = {
    token: await cluster.token(user),
    'ca.crt': cluster.caCertificate,
    namespace,
    kubeconfig: await readFile(await cluster.kubeconfig({ user }), 'utf8'),
  };
  for (const [name, text] of Object.entries(files))
    await writeFile(join(folder, name), text, { mode: 0o644 });
  return folder;
}

/** Asks for its readiness until it is ready. @throws Error with what it said, when it ends before */
export async function untilReady({ program, logs }: Pod): Promise<{ port: number; metricsPort: number }> {
  const ended = program.done.then(({ code, stderr }) => {
    throw new Error(`it ended with ${code}: ${logs.text()}${stderr}`);
  });
  const { port, metricsPort } = (await Promise.race([logs.line('listening'), ended])) as unknown as {
    port: number;
    metricsPort: number;
  };
  const isReady = () => fetch(`http://127.0.0.1:${metricsPort}/readyz`).then(({ ok }) => ok);
  while (!(await Promise.race([isReady(), ended])));
  return { port, metricsPort };
}

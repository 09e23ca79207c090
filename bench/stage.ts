/** A control plane of its own for each measurement, with what Lockkeeper needs there, and all that is started on it. */
import { mkdtemp, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { ApiClient } from '../test/clusters/client.ts';
import type { User } from '../test/clusters/cluster.ts';
import { type StartedControlPlane, startControlPlane } from '../test/clusters/control-plane/cluster.ts';
import { writeKubeconfig } from '../test/clusters/kubeconfig.ts';
import { apply, defineReleaseLocks, readRights } from '../test/support/manifests.ts';
import { serving } from '../test/support/serving.ts';
import { type Program, startProgram, untilLine } from './program.ts';

export const REPOSITORY = resolve(import.meta.dirname, '..');

/** As `npm run build` made it, and as an image has it. */
export const MAIN = join(REPOSITORY, 'dist/main.js');

/** Whom the manifests make Lockkeeper. */
export const LOCKKEEPER: User = { username: 'system:serviceaccount:lockkeeper:lockkeeper' };

/** Where the releases are. */
export const NAMESPACE = 'prod';

export interface Serving extends Program {
  readonly port: number;
  readonly url: string;
}

export interface Stage {
  readonly cluster: StartedControlPlane;
  readonly admin: ApiClient;
  /** PEM of the authority that signed the certificate of all that is started here. */
  readonly caCertificate: string;
  /** Where that certificate and its key lie. */
  readonly files: { readonly certFile: string; readonly keyFile: string };
  /** The path of a kubeconfig of Lockkeeper's account; `url` is another way to the API server. */
  kubeconfig(url?: string): Promise<string>;
  /** Lockkeeper, when it knows the pending releases. */
  lockkeeper(environment?: Readonly<Record<string, string>>): Promise<Serving>;
  /** One of bench/servers, when it listens. */
  server(name: string, environment?: Readonly<Record<string, string>>): Promise<Serving>;
  /** Ends with the stage. */
  keep<T extends Pick<Program, 'stop'>>(program: T): T;
}

/** Everything ends when `play` does. */
export async function onStage<T>(play: (stage: Stage) => Promise<T>): Promise<T> {
  const cluster = await startControlPlane();
  const started: Pick<Program, 'stop'>[] = [];
  try {
    return await play(await setStage(cluster, started));
  } finally {
    for (const program of started.toReversed()) await program.stop();
    await cluster.stop();
  }
}

async function setStage(cluster: StartedControlPlane, started: Pick<Program, 'stop'>[]): Promise<Stage> {
  const admin = await cluster.client();
  for (const namespace of ['lockkeeper', NAMESPACE]) await admin.createNamespace(namespace);
  await apply(admin, await readRights());
  await defineReleaseLocks(admin);
  const token = await cluster.token(LOCKKEEPER);
  const files = await writeServingFiles(cluster.folder);

  async function kubeconfig(url = cluster.url): Promise<string> {
    const { folder, caCertificate } = cluster;
    return writeKubeconfig(folder, { url, caCertificate, token, user: LOCKKEEPER, namespace: undefined });
  }

  function keep<T extends Pick<Program, 'stop'>>(program: T): T {
    started.push(program);
    return program;
  }

  async function serve(file: string, env: Readonly<Record<string, string>>, ready: string): Promise<Serving> {
    const program = keep(startProgram(file, { env }));
    await untilLine(program, ready);
    const port = Number((await program.logs.line('listening')).port);
    return { ...program, port, url: `https://127.0.0.1:${port}` };
  }

  return {
    cluster,
    admin,
    caCertificate: serving.caCertificate,
    files,
    kubeconfig,
    keep,
    lockkeeper: async (environment = {}) =>
      serve(
        MAIN,
        { ...lockkeeperSettings(await kubeconfig()), ...tlsSettings(files), ...environment },
        'listed',
      ),
    server: async (name, environment = {}) => {
      const settings = { KUBECONFIG: await kubeconfig(), ...tlsSettings(files), ...environment };
      return serve(join(REPOSITORY, 'bench/servers', name), settings, 'listening');
    },
  };
}

/** On a free port of the loopback, with no webhook configuration to look after. */
export function lockkeeperSettings(kubeconfig: string) {
  return {
    KUBECONFIG: kubeconfig,
    LOCKKEEPER_HOST: '127.0.0.1',
    LOCKKEEPER_PORT: '0',
    LOCKKEEPER_METRICS_PORT: '0',
    LOCKKEEPER_WEBHOOK_CONFIGURATION: '',
    LOCKKEEPER_DRAIN_SECONDS: '0',
  };
}

export function tlsSettings({ certFile, keyFile }: Stage['files']) {
  return { LOCKKEEPER_TLS_CERT_FILE: certFile, LOCKKEEPER_TLS_KEY_FILE: keyFile };
}

async function writeServingFiles(folder: string): Promise<Stage['files']> {
  const { certificate, privateKey } = serving.pair;
  const own = await mkdtemp(join(folder, 'tls-'));
  const [certFile, keyFile] = [join(own, 'tls.crt'), join(own, 'tls.key')];
  await writeFile(certFile, certificate);
  await writeFile(keyFile, privateKey, { mode: 0o600 });
  return { certFile, keyFile };
}

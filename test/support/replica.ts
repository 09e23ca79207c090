/** A replica of Lockkeeper as a process of its own, as a pod is: for tests of how it ends. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { Cluster } from '../clusters/cluster.ts';
import { REAL } from '../clusters/start.ts';
import { grantRights, LOCKKEEPER } from './lockkeeper.ts';
import { createLogReader, type LogReader } from './log.ts';
import { limitedTo, type MemoryLimit } from './memory-limit.ts';
import { serving } from './serving.ts';

const MAIN = new URL('../../src/main.ts', import.meta.url).pathname;

export interface Replica {
  readonly port: number;
  readonly logs: LogReader;
  kill(signal: 'SIGTERM' | 'SIGKILL'): void;
  /** Its exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>;
}

export interface ReplicaOptions {
  /** What is run: from `src` unless it is told. */
  readonly main?: string;
  /** Of its memory alone. */
  readonly limit?: MemoryLimit | undefined;
}

/** Resolves when it knows the pending releases. Ends with the test. */
export async function startReplica(
  t: Test,
  cluster: Cluster,
  environment: Readonly<Record<string, string>> = {},
  { main = MAIN, limit }: ReplicaOptions = {},
): Promise<Replica> {
  if (REAL) await grantRights(cluster);
  const child = spawn(...limitedTo(limit, process.execPath, [main]), {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...ownEnvironment(),
      KUBECONFIG: await cluster.kubeconfig({ user: LOCKKEEPER }),
      LOCKKEEPER_HOST: '127.0.0.1',
      LOCKKEEPER_PORT: '0',
      LOCKKEEPER_METRICS_PORT: '0',
      // The tests' own is armed already.
      LOCKKEEPER_WEBHOOK_CONFIGURATION: '',
      ...(await servingFiles(cluster.folder)),
      ...environment,
    },
  });
  const ended = once(child, 'exit').then(([code, signal]) => code ?? signal);
  t.teardown(async () => {
    child.kill('SIGKILL');
    await ended;
    await limit?.remove();
  });
  const logs = createLogReader();
  child.stdout.setEncoding('utf8').on('data', logs.write);
  const early = ended.then((end) => {
    throw new Error(`a replica ended with ${end} before it was ready: ${logs.text()}`);
  });
  const { port } = await Promise.race([logs.line('listening'), early]);
  await Promise.race([logs.line('listed'), early]);
  early.catch(() => {});
  return { port: Number(port), logs, kill: (signal) => void child.kill(signal), ended };
}

/** Without what is meant for the tests. */
function ownEnvironment(): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('LOCKKEEPER_'));
  return Object.fromEntries(own);
}

/** The certificate that all servers of a test process have. */
async function servingFiles(folder: string) {
  const { certificate, privateKey } = serving.pair;
  const own = await mkdtemp(join(folder, 'tls-'));
  const [certFile, keyFile] = [join(own, 'tls.crt'), join(own, 'tls.key')];
  await writeFile(certFile, certificate);
  await writeFile(keyFile, privateKey, { mode: 0o600 });
  return { LOCKKEEPER_TLS_CERT_FILE: certFile, LOCKKEEPER_TLS_KEY_FILE: keyFile };
}

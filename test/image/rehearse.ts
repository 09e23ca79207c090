/**
 * `npm run image:rehearse`: does what the Dockerfile says in a scratch folder, runs the result as its user with nothing to
 * write to, and tells its size, its memory and the time to its readiness. No container engine is needed, and none is asked:
 * what comes with the base images is not in these numbers.
 */
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { startEmbeddedCluster } from '../clusters/embedded/cluster.ts';
import { freePort } from '../support/free-port.ts';
import { buildImage, bytesOf, type Image } from './build.ts';
import {
  type Confinement,
  filesOpenForWriting,
  processorMsOf,
  statusOf,
  strictestConfinement,
} from './container.ts';
import { startPod, untilReady } from './pod.ts';

const REPOSITORY = resolve(import.meta.dirname, '../..');

const STARTS = 7;

const CONFINEMENTS: Readonly<Record<Confinement, string>> = {
  sealed: 'as uid 65532 without privileges, on a read-only root with nothing in it but the image',
  'other-user': 'as uid 65532 in a folder of root, but on the file system of this machine: it may not mount',
  'same-user': 'as yourself, on the file system of this machine: run as root to try more',
};

const began = performance.now();
const say = (line: string) => void process.stdout.write(`${line}\n`);

const folder = await mkdtemp(join(tmpdir(), 'lockkeeper-image-'));
try {
  // mkdtemp makes it private, and the image's user has to pass.
  await chmod(folder, 0o755);
  const image = await buildImage({
    repository: REPOSITORY,
    folder,
    say: (step) => say(`${seconds()}  ${step}`),
  });
  await tellSize(image);
  await tellStarts(image, await strictestConfinement());
} finally {
  await rm(folder, { recursive: true, force: true });
}

function seconds(): string {
  return `${((performance.now() - began) / 1000).toFixed(1).padStart(5)} s`;
}

async function tellSize({ root, workdir }: Image): Promise<void> {
  const megabytes = async (path: string) =>
    `${((await bytesOf(join(root, workdir, path))) / 1e6).toFixed(1)} MB`;
  say(
    `\nOn top of the base image: ${await megabytes('.')}, of which node_modules is ${await megabytes('node_modules')} and dist ${await megabytes('dist')}.`,
  );
}

async function tellStarts(image: Image, confinement: Confinement): Promise<void> {
  say(`Started ${STARTS} times, ${CONFINEMENTS[confinement]}:`);
  const cluster = await startEmbeddedCluster();
  try {
    const admin = await cluster.client();
    await admin.createNamespace('lockkeeper');
    await admin.create('/api/v1/namespaces/lockkeeper/secrets', { metadata: { name: 'lockkeeper-ca' } });
    const starts: Start[] = [];
    // The first one makes the authority that the others find.
    for (let start = 0; start <= STARTS; start += 1) starts.push(await oneStart(image, confinement, cluster));
    const [first, ...others] = starts;
    say(
      `  ready after ${median(others.map(({ readyMs }) => readyMs))} ms (median), of which it used the processor for`,
    );
    say(
      `  ${median(others.map(({ processorMs }) => processorMs))} ms; the first, which made the authority, after ${first?.readyMs.toFixed(0)} ms`,
    );
    say(
      `  resident memory, when it was ready: ${median(others.map(({ residentMb }) => residentMb))} MB (median)`,
    );
    say('  open for writing: no file; each ended with 0');
  } finally {
    await cluster.stop();
  }
}

interface Start {
  readonly readyMs: number;
  readonly processorMs: number;
  readonly residentMb: number;
}

/** @throws Error when it writes to a file, or ends with anything but 0 */
async function oneStart(
  image: Image,
  confinement: Confinement,
  cluster: Awaited<ReturnType<typeof startEmbeddedCluster>>,
): Promise<Start> {
  const settings = {
    LOCKKEEPER_HOST: '127.0.0.1',
    LOCKKEEPER_PORT: '0',
    LOCKKEEPER_METRICS_PORT: String(await freePort()),
    LOCKKEEPER_WEBHOOK_CONFIGURATION: '',
    LOCKKEEPER_DRAIN_SECONDS: '0',
  };
  const from = performance.now();
  const pod = await startPod({
    image,
    confinement,
    cluster,
    user: { username: 'system:serviceaccount:lockkeeper:lockkeeper' },
    namespace: 'lockkeeper',
    spec: { env: Object.entries(settings).map(([name, value]) => ({ name, value })) },
  });
  const pid = pod.program.pid as number;
  await untilReady(pod);
  const readyMs = performance.now() - from;
  const status = await statusOf(pid);
  const open = await filesOpenForWriting(pid);
  if (open.length > 0) throw new Error(`it writes to ${open.join(', ')}`);
  const processorMs = await processorMsOf(pid);
  pod.program.kill('SIGTERM');
  const { code } = await pod.program.done;
  if (code !== 0) throw new Error(`it ended with ${code}: ${pod.logs.text()}`);
  return { readyMs, processorMs, residentMb: Number.parseInt(status.get('VmRSS') ?? '', 10) / 1000 };
}

function median(values: readonly number[]): string {
  return (values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN).toFixed(0);
}

/** The process around the service: its environment, its signals, its exit code. */
import { hostname } from 'node:os';
import closeWithGrace from 'close-with-grace';
import { systemClock } from './clock.ts';
import { readConfig } from './config.ts';
import { createLog } from './log.ts';
import { readClientCa } from './tls/client-ca.ts';
import { fileSource, readKeyPair } from './tls/files.ts';

/** EX_CONFIG of sysexits.h: another start will fail as well, until somebody changes the configuration. */
const EXIT_CONFIGURATION = 78;

/** A port that is taken may be free the next time. */
const EXIT_FAILURE = 1;

/** After the drain; whatever takes longer than this is not worth waiting for. */
const SHUTDOWN_MS = 10_000;

/** How Kubernetes and people end a process. The second one ends the drain; close-with-grace would exit with 1. */
const SIGNALS = ['SIGTERM', 'SIGINT'] as const;

/** What `prepare` returns, or the end of the process with the words of what it throws. */
async function configured<T>(prepare: () => T, about = ''): Promise<Awaited<T>> {
  try {
    return await prepare();
  } catch (error) {
    const problems = `${about}${(error as Error).message}`.replace(/^/gm, '  ');
    process.stderr.write(`lockkeeper cannot start:\n${problems}\n`);
    process.exit(EXIT_CONFIGURATION);
  }
}

const config = await configured(() => readConfig(process.env));
const { tlsFiles, clientCaFile } = config;
const first = await configured(() => tlsFiles && readKeyPair(tlsFiles.certFile, tlsFiles.keyFile));
const clientCa = await configured(() => clientCaFile && readClientCa(clientCaFile));
// All of it takes a while to load, and a wrong configuration need not wait for it.
const [{ newKubeConfig }, { clusterOf }, { startService }] = await Promise.all([
  import('./kubernetes/kubeconfig.ts'),
  import('./kubernetes/connection.ts'),
  import('./service.ts'),
]);
const kubeConfig = newKubeConfig();
await configured(() => kubeConfig.loadFromDefault(), 'the kubeconfig cannot be used: ');
await configured(() => clusterOf(kubeConfig));

// pino's own destination tries for ever to flush to a pipe that nobody reads any more (sonic-boom's flushSync), and
// the process would not end. Losing the reader of the log is no reason to stop, nor to hang.
process.stdout.on('error', () => {});
const log = createLog(config.logLevel, process.stdout);
const clock = systemClock;
const certificates = tlsFiles && first && fileSource({ ...tlsFiles, first, clock, log });
const starting = startService({
  config,
  // The pod's name; on one host there may be several.
  replica: `${hostname()}-${process.pid}`,
  clientCa,
  certificates,
  kubeConfig,
  clock,
  random: Math.random,
  log,
});
const delay = config.drainSeconds * 1000 + SHUTDOWN_MS;
let asked: NodeJS.Signals | undefined;
let stopping = false;
const grace = closeWithGrace({ delay, logger: log, skip: [...SIGNALS] }, async ({ err, signal = asked }) => {
  stopping = true;
  if (err) log.fatal({ err }, 'stopping because of an error');
  else log.info({ signal }, 'stopping');
  // A signal may come before all of it listens.
  const service = await starting;
  // Only SIGTERM comes from Kubernetes; the others from a terminal, where somebody waits for the end.
  if (signal !== 'SIGTERM') service.hurry();
  await service.close();
  log.info('stopped');
});
for (const signal of SIGNALS) {
  process.on(signal, () => {
    asked ??= signal;
    if (stopping) void starting.then(({ hurry }) => hurry());
    else void grace.close();
  });
}
try {
  await starting;
} catch (err) {
  log.fatal({ err }, 'could not start');
  process.exitCode = EXIT_FAILURE;
}

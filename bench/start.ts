/** How long from the start of the process to the first readiness. */

import { copyFile, rm } from 'node:fs/promises';
import { request } from 'node:https';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { freePort } from '../test/support/free-port.ts';
import type { Bench } from './measurement.ts';
import { residentBytes, startProgram } from './program.ts';
import { megabytes, ms, type Section, type Target, times } from './report.ts';
import { lockkeeperSettings, MAIN, onStage, REPOSITORY, type Stage, tlsSettings } from './stage.ts';
import { median, ratios } from './statistics.ts';

const ROUNDS = 10;

/** Of the design. */
const READY_AT_MOST_MS = 1_000;

const ASK_EVERY_MS = 3;

export interface Start {
  readonly readyMs: number;
  readonly resident: number;
}

export type Starter = 'bare' | 'files' | 'authority';

export type Starts = Readonly<Record<Starter, readonly Start[]>>;

const NAMES: Readonly<Record<Starter, string>> = {
  bare: 'Fastify with TLS, and nothing else',
  files: 'Lockkeeper, its certificate in files',
  authority: 'Lockkeeper, its authority in the cluster',
};

export async function measureStart({ say }: Bench): Promise<Section> {
  return onStage(async (stage) => {
    const starts = await startInTurn(stage, ROUNDS);
    say(`with its authority in the cluster, Lockkeeper is ready after ${ms(readyOf(starts.authority))}`);
    return section(starts);
  });
}

/** Each starts alone, one after the other, so many times. */
export async function startInTurn(stage: Stage, rounds: number): Promise<Starts> {
  const { admin, files } = stage;
  const kubeconfig = await stage.kubeconfig();
  await admin.request('POST', '/api/v1/namespaces/lockkeeper/secrets', {
    metadata: { name: 'lockkeeper-ca' },
  });
  const settings = lockkeeperSettings(kubeconfig);
  const bare = await placeBare();
  const starts: Record<Starter, Start[]> = { bare: [], files: [], authority: [] };
  try {
    // The first one makes the authority that the others find; and reads the files into memory for all.
    for (let round = 0; round <= rounds; round += 1) {
      const port = String(await freePort());
      const seen = {
        bare: await startOnce(bare, { ...tlsSettings(files), BENCH_PORT: port }, port),
        files: await startOnce(MAIN, { ...settings, ...tlsSettings(files), LOCKKEEPER_PORT: port }, port),
        authority: await startOnce(MAIN, { ...settings, LOCKKEEPER_PORT: port }, port),
      };
      if (round > 0) for (const who of Object.keys(seen) as Starter[]) starts[who].push(seen[who]);
    }
  } finally {
    await rm(bare);
  }
  return starts;
}

/** There is no type in it, so it is JavaScript: nothing has to be made of it at its start, nor of what is in dist. */
async function placeBare(): Promise<string> {
  const file = join(REPOSITORY, 'dist/bench-bare.js');
  await copyFile(join(REPOSITORY, 'bench/servers/bare.ts'), file);
  return file;
}

async function startOnce(file: string, env: Readonly<Record<string, string>>, port: string): Promise<Start> {
  const from = performance.now();
  const program = startProgram(file, { env });
  try {
    await untilReady(port);
    return { readyMs: performance.now() - from, resident: await residentBytes(program.pid) };
  } finally {
    await program.stop();
  }
}

/** Whatever its certificate is. */
export async function untilReady(port: string, path = '/readyz'): Promise<void> {
  while (!(await isReady(port, path))) await pause(ASK_EVERY_MS);
}

function isReady(port: string, path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const options = { host: '127.0.0.1', port, path, agent: false, rejectUnauthorized: false };
    request(options, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    })
      .on('error', () => resolve(false))
      .end();
  });
}

export const timesOf = (starts: readonly Start[]) => starts.map(({ readyMs }) => readyMs);
const readyOf = (starts: readonly Start[]) => median(timesOf(starts));
const residentOf = (starts: readonly Start[]) => median(starts.map(({ resident }) => resident));

/** How many times as long as the bare server, start by start. */
function startRatios(starts: Starts, who: Starter): number[] {
  return ratios(timesOf(starts[who]), timesOf(starts.bare));
}

function section(starts: Starts): Section {
  const who = Object.keys(NAMES) as Starter[];
  const first = residentOf(starts.bare);
  const seen = readyOf(starts.authority);
  const target: Target = {
    what: 'ready with an existing authority, median',
    atMost: ms(READY_AT_MOST_MS),
    seen: ms(seen),
    isMet: seen < READY_AT_MOST_MS,
  };
  return {
    title: 'From the start to readiness',
    about: `From starting the process to the first 200 of \`/readyz\` over HTTPS, which is asked every ${ASK_EVERY_MS} ms: the medians of ${ROUNDS}
starts, in turn. Lockkeeper is ready when it has listed the pending releases of the real API server, and has a certificate.`,
    tables: [
      {
        head: ['compared with Fastify', 'time', 'memory when ready'],
        rows: who.map((name) => [
          NAMES[name],
          times(median(startRatios(starts, name))),
          times(residentOf(starts[name]) / first),
        ]),
      },
      {
        head: ['', 'ready after', 'memory when ready'],
        rows: who.map((name) => [
          NAMES[name],
          ms(readyOf(starts[name])),
          megabytes(residentOf(starts[name])),
        ]),
      },
    ],
    targets: [target],
  };
}

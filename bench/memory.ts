/** What it costs to know of a cluster with so many releases: memory, and what is read from the API server. */
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { limitMemory } from '../test/support/memory-limit.ts';
import { listenToAudit } from './audit.ts';
import { type CountingProxy, startCountingProxy } from './counting-proxy.ts';
import type { Bench } from './measurement.ts';
import { type Program, residentBytes, startProgram, untilLine } from './program.ts';
import { fill, PAYLOAD_BYTES, type StoredRecord } from './records.ts';
import { bytes, digits, megabytes, type Section, type Table, type Target, times } from './report.ts';
import {
  LOCKKEEPER,
  lockkeeperSettings,
  MAIN,
  onStage,
  REPOSITORY,
  type Stage,
  tlsSettings,
} from './stage.ts';
import { median } from './statistics.ts';

const INFORMER = join(REPOSITORY, 'bench/servers/informer.ts');

const COUNTS = [0, 10_000];
const FULL_COUNTS = [0, 10_000, 100_000];

/** How many of each release there are: what Helm keeps by default. */
const REVISIONS = 10;
const NAMESPACES = 50;

/** Garbage of the start is collected sooner or later: what is in memory then is the median of three processes. */
const PROCESSES = 3;
const SETTLE_MS = 15_000;
const IDLE_MS = 30_000;
const LOOK_EVERY_MS = 1_000;

/** What the chart gives a pod. */
const POD_BYTES = 512 * 2 ** 20;

/** An informer of a hundred thousand records has more to read than any of the others to do. */
const START_MS = 180_000;

/** Of the design. */
const GROWTH_AT_MOST = 5e6;
const RESIDENT_AT_MOST = 120e6;

interface Traffic {
  readonly requests: number;
  readonly bytes: number;
}

interface Cost {
  readonly resident: number;
  readonly start: Traffic;
  readonly idle: Traffic;
}

interface Row {
  readonly records: number;
  readonly lockkeeper: Cost;
  /** Or in words why there is none. */
  readonly informer: Cost | string;
}

export async function measureMemory({ full, say }: Bench): Promise<Section> {
  return onStage(async (stage) => {
    const rows: Row[] = [];
    for (let team = 0; team < NAMESPACES; team += 1) await stage.admin.createNamespace(`team-${team}`);
    let stored = 0;
    for (const records of full ? FULL_COUNTS : COUNTS) {
      await fill(stage, history(stored, records), say);
      stored = records;
      // The informer last: it is the one that has the machine at work.
      const lockkeeper = await costOfLockkeeper(stage);
      const informer = await costOfInformer(stage).catch((error: Error) => error.message);
      rows.push({ records, lockkeeper, informer });
      const other = typeof informer === 'string' ? informer : megabytes(informer.resident);
      say(`${records} records: Lockkeeper has ${megabytes(lockkeeper.resident)}, the informer ${other}`);
    }
    return section(rows, await mayLimitMemory());
  });
}

/** Releases with as many revisions as Helm keeps, the last of which is deployed; those from a number on, up to another. */
function* history(from: number, to: number): Generator<StoredRecord> {
  for (let number = from; number < to; number += 1) {
    const release = Math.floor(number / REVISIONS);
    const revision = (number % REVISIONS) + 1;
    yield {
      release: `m${release}`,
      revision,
      status: revision === REVISIONS ? 'deployed' : 'superseded',
      namespace: `team-${release % NAMESPACES}`,
    };
  }
}

async function costOfLockkeeper(stage: Stage): Promise<Cost> {
  return costOf(stage, PROCESSES, async (kubeconfig) => ({
    program: startProgram(MAIN, {
      env: { ...lockkeeperSettings(kubeconfig), ...tlsSettings(stage.files) },
      limit: await limitMemory(POD_BYTES),
    }),
    ready: 'listed',
  }));
}

async function mayLimitMemory(): Promise<boolean> {
  const limit = await limitMemory(POD_BYTES);
  await limit?.remove();
  return limit !== undefined;
}

async function costOfInformer(stage: Stage): Promise<Cost> {
  return costOf(stage, 1, async (kubeconfig) => ({
    program: startProgram(INFORMER, { env: { KUBECONFIG: kubeconfig } }),
    ready: 'listed',
  }));
}

interface Starting {
  readonly program: Program;
  /** What it says when it knows what there is. */
  readonly ready: string;
}

/** Of one of so many that start at once, each by a way of its own to the API server. */
async function costOf(
  stage: Stage,
  count: number,
  start: (kubeconfig: string) => Promise<Starting>,
): Promise<Cost> {
  const audit = await listenToAudit(stage);
  const ways: CountingProxy[] = [];
  const programs: Program[] = [];
  const traffic = async (): Promise<Traffic> => {
    const ours = (await audit.events()).filter(({ user }) => user.username === LOCKKEEPER.username);
    return { requests: ours.length / count, bytes: sum(ways.map((way) => way.received())) / count };
  };
  try {
    for (let number = 0; number < count; number += 1) {
      const way = await startCountingProxy(stage.cluster.url);
      ways.push(way);
      const { program, ready } = await start(await stage.kubeconfig(way.url));
      programs.push(program);
      await soon(untilLine(program, ready));
    }
    await pause(SETTLE_MS);
    const started = await traffic();
    const resident = await watchMemory(programs);
    const all = await traffic();
    const idle = { requests: all.requests - started.requests, bytes: all.bytes - started.bytes };
    return { resident, start: started, idle };
  } finally {
    for (const program of programs) await program.stop();
    for (const way of ways) await way.stop();
  }
}

/** The median of what the programs have in memory while they idle. */
async function watchMemory(programs: readonly Program[]): Promise<number> {
  const seen: number[][] = programs.map(() => []);
  const until = performance.now() + IDLE_MS;
  while (performance.now() < until) {
    for (const [index, { pid }] of programs.entries()) seen[index]?.push(await residentBytes(pid));
    await pause(LOOK_EVERY_MS);
  }
  return median(seen.map(median));
}

async function soon<T>(event: Promise<T>): Promise<T> {
  const waiting = new AbortController();
  const late = pause(START_MS, undefined, { signal: waiting.signal }).then(() => {
    throw new Error(`not ready after ${START_MS / 1000} s`);
  });
  late.catch(() => {});
  return Promise.race([event, late]).finally(() => waiting.abort());
}

const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0);

function section(rows: readonly Row[], isLimited: boolean): Section {
  const where = isLimited
    ? 'with the limit of 512 MiB that the chart gives a pod, which V8 heeds'
    : 'without the limit that the chart gives a pod, since this user may set none';
  return {
    title: 'Many releases in the cluster',
    about: `Records of releases, ${REVISIONS} revisions each, with a payload of ${PAYLOAD_BYTES} bytes of noise, one deployed and the others
superseded, in ${NAMESPACES} namespaces. Lockkeeper (the median of ${PROCESSES} processes, ${where}) beside what one writes first: \`makeInformer\` of
\`@kubernetes/client-node\`, which keeps all Secrets with the label \`owner=helm\`. Resident memory is the median of ${IDLE_MS / 1000} s without
work, after ${SETTLE_MS / 1000} s to settle; bytes are those that came from the API server, as TLS; requests are counted in its audit log.`,
    tables: [ratioTable(rows), memoryTable(rows), trafficTable(rows)],
    targets: targetsOf(rows),
  };
}

const named = (records: number) => `${records.toLocaleString('en')} records`;

function ratioTable(rows: readonly Row[]): Table {
  const [empty] = rows as [Row];
  return {
    head: [
      'the informer, compared with Lockkeeper',
      'memory',
      'bytes read at its start',
      'Lockkeeper, compared with no record',
    ],
    rows: rows.map(({ records, lockkeeper, informer }) => [
      named(records),
      ...(typeof informer === 'string'
        ? ['–', '–']
        : [
            times(informer.resident / lockkeeper.resident),
            times(informer.start.bytes / lockkeeper.start.bytes),
          ]),
      times(lockkeeper.resident / empty.lockkeeper.resident),
    ]),
  };
}

function memoryTable(rows: readonly Row[]): Table {
  return {
    head: ['resident memory', 'Lockkeeper', 'the informer'],
    rows: rows.map(({ records, lockkeeper, informer }) => [
      named(records),
      megabytes(lockkeeper.resident),
      typeof informer === 'string' ? informer : megabytes(informer.resident),
    ]),
  };
}

function trafficTable(rows: readonly Row[]): Table {
  return {
    head: [
      'read from the API server',
      '',
      'requests at its start',
      'bytes',
      `requests in ${IDLE_MS / 1000} s`,
      'bytes',
    ],
    rows: rows.flatMap(({ records, lockkeeper, informer }) => [
      [named(records), 'Lockkeeper', ...trafficCells(lockkeeper)],
      ...(typeof informer === 'string' ? [] : [['', 'the informer', ...trafficCells(informer)]]),
    ]),
  };
}

function trafficCells({ start, idle }: Cost): string[] {
  return [start, idle].flatMap((traffic) => [digits(traffic.requests), bytes(traffic.bytes)]);
}

function targetsOf(rows: readonly Row[]): Target[] {
  const [first, last] = [rows[0], rows.at(-1)] as [Row, Row];
  const growth = last.lockkeeper.resident - first.lockkeeper.resident;
  const { resident } = last.lockkeeper;
  return [
    {
      what: `memory with ${named(last.records)}, more than with none`,
      atMost: megabytes(GROWTH_AT_MOST),
      seen: megabytes(growth),
      isMet: growth <= GROWTH_AT_MOST,
    },
    {
      what: `memory with ${named(last.records)}`,
      atMost: megabytes(RESIDENT_AT_MOST),
      seen: megabytes(resident),
      isMet: resident < RESIDENT_AT_MOST,
    },
  ];
}

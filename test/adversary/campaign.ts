/** Many runs of random operations, until there were enough of them or a rule was broken; then with ever fewer of them. */
import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { kindOf, perform } from './deeds.ts';
import { endLocks, killAll, tidyUp } from './ending.ts';
import { kindOfEnding } from './endings.ts';
import type { Entry } from './log.ts';
import type { Operation } from './operations.ts';
import { check } from './rules.ts';
import { newStage, type Stage } from './stage.ts';
import { storyOf } from './story.ts';
import { type AuditTail, followAuditLog } from './tail.ts';
import type { Violation } from './violation.ts';
import type { World } from './world.ts';

export interface CampaignOptions {
  readonly seed: number;
  /** Of a counterexample, as fast-check calls it; undefined to begin at the beginning. */
  readonly path: string | undefined;
  /** At least so many. */
  readonly operations: number;
  /** Of one run. */
  readonly arbitrary: fc.Arbitrary<Operation[]>;
  /** Whether a run ends with everybody's death, after which every lock has to end. */
  readonly endsLocks: boolean;
  /** For how long a counterexample is made smaller. */
  readonly shrinkMs: number;
  readonly onRun: (report: RunReport) => void;
}

export interface RunReport {
  /** Of those that found somebody to be done to. */
  readonly operations: number;
  readonly entries: number;
  readonly violations: readonly Violation[];
  /** What the log tells of the releases that they were seen at, and when each operation began. */
  readonly story: readonly string[];
}

export interface CampaignResult {
  readonly operations: number;
  readonly runs: number;
  /** Requests in the audit log that the rules looked at. */
  readonly entries: number;
  /** Operations, by their kind. */
  readonly counts: ReadonlyMap<string, number>;
  /** Clients, by how they ended. */
  readonly endings: ReadonlyMap<string, number>;
  readonly failure: Failure | undefined;
}

export interface Failure {
  readonly seed: number;
  readonly path: string;
  readonly operations: readonly Operation[];
  /** None if it was the adversary itself that failed. */
  readonly violations: readonly Violation[];
  /** What was thrown. */
  readonly error: unknown;
}

/** The log may tell of a write before it tells of the one before it; not for longer than this. */
const SETTLE_MS = 2_000;

export async function campaign(world: World, options: CampaignOptions): Promise<CampaignResult> {
  const counts = new Map<string, number>();
  const endings = new Map<string, number>();
  const log = await followAuditLog(world.cluster.auditLog);
  // A replay is one run.
  const enough = options.path === undefined ? options.operations : 1;
  let done = 0;
  let runs = 0;
  let entries = 0;
  let found: readonly Violation[] = [];
  let shrinkUntil = Number.POSITIVE_INFINITY;

  async function run(all: readonly Operation[]): Promise<void> {
    const isOver = found.length === 0 ? done >= enough : performance.now() > shrinkUntil;
    if (isOver) return;
    await log.more();
    const stage = await newStage(world);
    const report = await runOnce(stage, all, log, options, (operation) => add(counts, kindOf(operation)));
    for (const { done } of stage.clients) add(endings, kindOfEnding(await done));
    runs += 1;
    done += report.operations;
    entries += report.entries;
    options.onRun(report);
    if (report.violations.length === 0) return;
    if (found.length === 0) shrinkUntil = performance.now() + options.shrinkMs;
    found = report.violations;
    throw new Error(found.map(({ rule, record, words }) => `${rule}: ${record}: ${words}`).join('\n'));
  }

  const { seed, path } = options;
  const details = await fc.check(fc.asyncProperty(options.arbitrary, run), {
    seed,
    ...(path !== undefined && { path }),
    endOnFailure: path !== undefined || options.shrinkMs === 0,
    // Once there were enough operations, the runs that are left do nothing.
    numRuns: options.operations,
  });
  await log.close();
  const failure =
    details.failed && details.counterexample !== null
      ? {
          seed: details.seed,
          path: details.counterexamplePath ?? '',
          operations: details.counterexample[0],
          violations: found,
          error: details.errorInstance,
        }
      : undefined;
  return { operations: done, runs, entries, counts, endings, failure };
}

function add(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

async function runOnce(
  stage: Stage,
  all: readonly Operation[],
  log: AuditTail,
  { endsLocks }: Pick<CampaignOptions, 'endsLocks'>,
  onDone: (operation: Operation) => void,
): Promise<RunReport> {
  const entries: Entry[] = [];
  const begun: string[] = [];
  let count = 0;

  /** A violation that the next lines of the log explain is none. */
  async function look(): Promise<Violation[]> {
    const more = await log.more();
    entries.push(...more);
    if (more.length === 0 || check(entries).length === 0) return [];
    await delay(SETTLE_MS);
    entries.push(...(await log.more()));
    return check(entries);
  }

  let violations: Violation[] = [];
  for (const operation of all) {
    begun.push(`${new Date().toISOString()} begins: ${JSON.stringify(operation)}`);
    if (await perform(stage, operation)) {
      count += 1;
      onDone(operation);
    }
    violations = await look();
    if (violations.length > 0) break;
  }
  await killAll(stage);
  if (violations.length === 0 && endsLocks) {
    await endLocks(stage);
    violations = await look();
  }
  await tidyUp(stage);
  const names = [...new Set(stage.releases.map(({ name }) => name))];
  const broken = names.filter((name) => violations.some(({ record }) => record.includes(name)));
  const story = broken.flatMap((release) => [...storyOf(entries, release), ...begun].toSorted());
  return { operations: count, entries: entries.length, violations, story };
}

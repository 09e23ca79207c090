/** One campaign of the adversary, as ADVERSARY says in JSON; `npm run test:adversary` starts it. */
import t from 'tap';
import { campaign, type Failure } from './campaign.ts';
import { operationsOf, WEIGHTS } from './operations.ts';

import { readSettings } from './settings.ts';
import type { Violation } from './violation.ts';
import { startWorld } from './world.ts';

const REPLICAS = 3;

/** At most; each run ends with seconds of waiting. What a seed means depends on it. */
const IN_A_RUN = 150;

// A campaign takes as long as it takes.
t.setTimeout(0);

const { seed, path, operations } = readSettings(process.env.ADVERSARY);

t.test(`${operations} random operations, seed ${seed}`, { timeout: 0 }, async (t) => {
  const world = await startWorld(t, { replicas: REPLICAS, modules: [], without: [] });
  let total = 0;
  const result = await campaign(world, {
    seed,
    path,
    operations,
    arbitrary: operationsOf(WEIGHTS, IN_A_RUN),
    endsLocks: true,
    shrinkMs: 300_000,
    onRun(report) {
      total += report.operations;
      t.equal(report.violations.length, 0, `${report.operations} operations, ${report.entries} writes`);
      t.comment(`${total} operations by now`);
      for (const violation of report.violations) t.comment(inWords(violation));
      for (const line of report.story) t.comment(line);
    },
  });
  const list = (counts: ReadonlyMap<string, number>) =>
    [...counts].map(([kind, count]) => `${kind} ${count}`).join(', ');
  t.comment(`${result.operations} operations in ${result.runs} runs: ${list(result.counts)}`);
  t.comment(`${result.entries} writes were checked; how clients ended: ${list(result.endings)}`);
  t.ok(
    path !== undefined || result.operations >= operations || result.failure,
    'there were as many as were asked for',
  );
  if (result.failure) {
    tell(result.failure, (line) => t.comment(line));
    t.fail('there was a failure');
  }
});

function tell({ seed, path, operations, violations, error }: Failure, say: (line: string) => void): void {
  for (const operation of operations) say(JSON.stringify(operation));
  for (const violation of violations) say(inWords(violation));
  if (violations.length === 0) say(`the adversary itself failed: ${(error as Error).stack}`);
  say(`to replay it: npm run test:adversary -- --seed ${seed} --path ${path}`);
}

function inWords({ rule, record, words, at }: Violation): string {
  return `${new Date(at).toISOString()} ${rule}: ${record}: ${words}`;
}

/**
 * `npm run flood`: a replica is flooded in every way that we know, one after the other, while others deploy. Prints what
 * that did to its memory, and to them. Words after `--` choose the floods whose names have them.
 */
import t from 'tap';
import { limitMemory } from '../support/memory-limit.ts';
import { FLOODS } from './floods.ts';
import { measure } from './measure.ts';
import { floodedReplica } from './replica.ts';

/** What is in the image. */
const BUILT = new URL('../../dist/main.js', import.meta.url).pathname;

/**
 * The limit of the chart. The replica has it, as in its pod, where this user may set one: V8 then gives back sooner what was once
 * needed, and who takes more is killed.
 */
const MEMORY_MIB = 512;

const MIB = 2 ** 20;

const DEPLOYS = 30;

/** Under the flood, on a machine that is busy with flooding, too; an API server gives a webhook 10 s by default. */
const DEPLOY_MS = 8_000;

/** A kubelet gives a probe a second by default. */
const READY_MS = 1_000;

const words = process.argv.slice(2);
t.setTimeout(0);
const rows: string[] = [
  '| flood | at once | steps | slowest deploy beside it | slowest /readyz | memory before | peak | after |',
];
rows.push(`|${' --- |'.repeat(8)}`);
for (const flood of FLOODS.filter(({ name }) => words.every((word) => name.includes(word)))) {
  await t.test(flood.name, async (t) => {
    t.setTimeout(0);
    const limit = await limitMemory(MEMORY_MIB * MIB);
    if (!limit) t.comment('without a limit of memory: this user may set none');
    const replica = await floodedReplica(t, {}, { main: BUILT, limit });
    const { size, steps, slowestDeploy, slowestReady, before, peakMiB, after } = await measure(
      flood,
      replica,
      {
        size: flood.size.long,
        deploys: DEPLOYS,
      },
    );
    t.ok(peakMiB < MEMORY_MIB, `${peakMiB.toFixed()} MiB at most`);
    t.ok(slowestDeploy < DEPLOY_MS, `no deploy beside it took longer than ${slowestDeploy.toFixed()} ms`);
    t.ok(slowestReady < READY_MS, `nor was health told later than after ${slowestReady.toFixed()} ms`);
    const memory = [before.residentMiB, peakMiB, after.residentMiB].map((mib) => `${mib.toFixed()} MiB`);
    rows.push(
      `| ${[flood.name, size, steps, `${slowestDeploy.toFixed()} ms`, `${slowestReady.toFixed()} ms`, ...memory].join(' | ')} |`,
    );
  });
}
for (const row of rows) t.comment(row);

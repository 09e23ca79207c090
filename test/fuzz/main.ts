/**
 * `npm run fuzz -- --runs 100000 --seed 1`: admission reviews, REST requests and plain bytes, nearly right and quite wrong,
 * against a real Lockkeeper. `--path` with a seed shows one failure again.
 */
import { parseArgs } from 'node:util';
import t from 'tap';
import { progressLine } from '../control-plane/progress.ts';
import { fuzz } from './fuzz.ts';
import { fuzzedWorld } from './world.ts';

const HANG_MS = 2_000;

const { values } = parseArgs({
  options: { runs: { type: 'string' }, seed: { type: 'string' }, path: { type: 'string' } },
});
// What is seen again is one attempt.
const runs = values.path === undefined ? Number(values.runs ?? 100_000) : 1;
const seed = Number(values.seed ?? Date.now() % 2 ** 31);

t.setTimeout(0);
t.test(`${runs} attempts from seed ${seed}`, async (t) => {
  t.setTimeout(0);
  const progress = progressLine(process.stderr);
  const world = await fuzzedWorld(t, { hangMs: HANG_MS });
  const { path } = values;
  const { seen, made, failures } = await fuzz(world, {
    runs,
    seed,
    ...(path !== undefined && { path }),
    onProgress: (count) => progress.show(`${count} of ${runs}`),
  });
  progress.end();
  for (const [kind, count] of [...seen].sort(([, a], [, b]) => b - a)) t.comment(`${count} × ${kind}`);
  for (const failure of failures) t.comment(failure);
  t.equal(failures.length, 0, `${made} attempts, none of which went wrong`);
});

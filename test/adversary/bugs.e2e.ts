/** The test of the test: each bug that is planted here breaks a rule, and the adversary sees it each time. */
import t from 'tap';
import { campaign } from './campaign.ts';
import { operationsOf, WEIGHTS, type Weights } from './operations.ts';
import { BUGS } from './planted-bugs.ts';
import { readSettings } from './settings.ts';
import { startWorld } from './world.ts';

/** Each is looked for so often, by other operations. */
const TIMES = 5;

/** It is found sooner; what was not found by then is not found. */
const OPERATIONS = 600;

/** Nothing but what is asked for. */
const NOTHING = Object.fromEntries(Object.keys(WEIGHTS).map((kind) => [kind, 0])) as unknown as Weights;

const { seed, bug } = readSettings(process.env.ADVERSARY);

t.setTimeout(0);

for (const { name, plant, weights, tune, rules } of BUGS.filter(({ name }) => name.includes(bug))) {
  t.test(name, { timeout: 0 }, async (t) => {
    const world = await startWorld(t, { replicas: 2, modules: [], without: [], ...plant });
    for (let time = 0; time < TIMES; time += 1) {
      const { operations, failure } = await campaign(world, {
        seed: seed + time,
        path: undefined,
        operations: OPERATIONS,
        arbitrary: operationsOf({ ...NOTHING, ...weights }, 100).map((all) => all.map(tune)),
        endsLocks: false,
        shrinkMs: 0,
        onRun: () => {},
      });
      const violations = failure?.violations ?? [];
      const isFound = violations.some(({ rule }) => rules.includes(rule));
      const said = violations.map(({ rule, words }) => (isFound ? rule : `${rule}: ${words}`));
      t.ok(isFound, `seed ${seed + time}: after ${operations} operations, ${said.join(', ')}`);
    }
  });
}

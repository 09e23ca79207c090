/** The test of the test: each bug that is planted here breaks a rule, and the adversary sees it each time. */
import t from 'tap';
import { campaign } from './campaign.ts';
import { WEIGHTS, type Weights } from './operations.ts';
import { readSettings } from './settings.ts';
import { startWorld, type WorldOptions } from './world.ts';

interface Bug {
  readonly name: string;
  readonly plant: Partial<Pick<WorldOptions, 'modules' | 'without'>>;
  /** What it is looked for with. */
  readonly weights: Partial<Weights>;
  readonly rule: string;
}

const module = (name: string) => new URL(`bugs/${name}.ts`, import.meta.url).href;

const BUGS: readonly Bug[] = [
  {
    name: 'it decides from the cache instead of the live read',
    plant: { modules: [module('cache')] },
    weights: { start: 40, end: 10, watches: 20 },
    rule: 'one pending revision at a time',
  },
  {
    name: 'the guard is dropped',
    plant: { without: ['guard'] },
    weights: { start: 40, end: 10, clear: 30 },
    rule: 'the record of a live lock was lost',
  },
  {
    name: 'the fence is dropped',
    plant: { without: ['fence'] },
    weights: { start: 40, end: 30, clear: 30 },
    rule: 'what has ended stays ended',
  },
  {
    name: 'the uid check is forgotten',
    plant: { modules: [module('uid')] },
    weights: { start: 30, end: 20, clear: 40 },
    rule: 'a live lock was cleared',
  },
];

/** Each is looked for so often, by other operations. */
const TIMES = 5;

/** It is found sooner; who has not found it by then has not found it. */
const OPERATIONS = 600;

/** Nothing but what is asked for. */
const NOTHING = Object.fromEntries(Object.keys(WEIGHTS).map((kind) => [kind, 0])) as unknown as Weights;

const { seed } = readSettings(process.env.ADVERSARY);

t.setTimeout(0);

for (const { name, plant, weights, rule } of BUGS) {
  t.test(name, { timeout: 0 }, async (t) => {
    const world = await startWorld(t, { replicas: 2, modules: [], without: [], ...plant });
    for (let time = 0; time < TIMES; time += 1) {
      const { operations, failure } = await campaign(world, {
        seed: seed + time,
        path: undefined,
        operations: OPERATIONS,
        atMostInARun: 100,
        weights: { ...NOTHING, ...weights },
        shrinkMs: 0,
        onRun: () => {},
      });
      const rules = failure?.violations.map((violation) => violation.rule) ?? [];
      t.ok(rules.includes(rule), `seed ${seed + time}: after ${operations} operations, ${rules.join(', ')}`);
    }
  });
}

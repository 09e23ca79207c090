/** The test of the test: each bug that is planted here breaks a rule, and the adversary sees it each time. */
import t from 'tap';
import { campaign } from './campaign.ts';
import { type Operation, type OperationOf, operationsOf, WEIGHTS, type Weights } from './operations.ts';
import { readSettings } from './settings.ts';
import { startWorld, type WorldOptions } from './world.ts';

interface Bug {
  readonly name: string;
  readonly plant: Partial<Pick<WorldOptions, 'modules' | 'without'>>;
  /** What it is looked for with, beside deploys of one release. */
  readonly weights: Partial<Weights>;
  readonly tune: (operation: Operation) => Operation;
  readonly rule: string;
}

const module = (name: string) => new URL(`bugs/${name}.ts`, import.meta.url).href;

const BUGS: readonly Bug[] = [
  {
    name: 'it decides from the cache instead of the live read',
    plant: { modules: [module('cache')] },
    weights: { start: 40, end: 10, watches: 20 },
    // A cache is right as long as it is told.
    tune: (operation) =>
      operation.op === 'cut' || operation.op === 'stall'
        ? { ...operation, op: 'stall', forMs: 2_000 + operation.forMs }
        : rollback(operation),
    rule: 'one pending revision at a time',
  },
  {
    name: 'the guard is dropped',
    plant: { without: ['guard'] },
    weights: { start: 40, end: 10, clear: 30 },
    tune: (operation) => clearing(operation, { how: 'kubectl delete secret' }),
    rule: 'the record of a live lock was lost',
  },
  {
    name: 'the fence is dropped',
    plant: { without: ['fence'] },
    weights: { start: 40, end: 30, clear: 30 },
    tune: (operation) => clearing(operation, { how: 'mark-failed', force: true, isLate: false }),
    rule: 'what has ended stays ended',
  },
  {
    name: 'the uid check is forgotten',
    plant: { modules: [module('uid')] },
    weights: { start: 30, end: 30, clear: 40 },
    tune: (operation) => clearing(operation, { how: 'mark-failed', force: true, isLate: true }),
    rule: 'a live lock was cleared',
  },
];

/** Nothing is to be learnt from several releases, or from those that do not get as far as their hook. */
function deploy(operation: Operation): Operation {
  if (operation.op !== 'start') return operation;
  const verb = operation.verb === 'rollback' ? 'rollback' : 'upgrade';
  return { ...operation, verb, by: 'synthetic', release: 0, isSlow: false };
}

/** Helm itself refuses to upgrade over a pending revision; a rollback comes to the gate. */
function rollback(operation: Operation): Operation {
  return deploy(operation.op === 'start' ? { ...operation, verb: 'rollback' } : operation);
}

function clearing(operation: Operation, changes: Partial<OperationOf<'clear'>>): Operation {
  return operation.op === 'clear' ? { ...operation, release: 0, ...changes } : deploy(operation);
}

/** Each is looked for so often, by other operations. */
const TIMES = 5;

/** It is found sooner; who has not found it by then has not found it. */
const OPERATIONS = 600;

/** Nothing but what is asked for. */
const NOTHING = Object.fromEntries(Object.keys(WEIGHTS).map((kind) => [kind, 0])) as unknown as Weights;

const { seed } = readSettings(process.env.ADVERSARY);

t.setTimeout(0);

for (const { name, plant, weights, tune, rule } of BUGS) {
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
      const rules = failure?.violations.map((violation) => violation.rule) ?? [];
      t.ok(rules.includes(rule), `seed ${seed + time}: after ${operations} operations, ${rules.join(', ')}`);
    }
  });
}

/** The bugs that the adversary has to find, each with the operations that it is looked for with. */
import type { Operation, OperationOf, Weights } from './operations.ts';
import type { WorldOptions } from './world.ts';

export interface Bug {
  readonly name: string;
  readonly plant: Partial<Pick<WorldOptions, 'modules' | 'without'>>;
  /** What it is looked for with, beside deploys of one release. */
  readonly weights: Partial<Weights>;
  readonly tune: (operation: Operation) => Operation;
  /** It breaks one of these. */
  readonly rules: readonly string[];
}

const module = (name: string) => ({ modules: [new URL(`bugs/${name}.ts`, import.meta.url).href] });

export const BUGS: readonly Bug[] = [
  {
    name: 'it decides from the cache instead of the live read',
    plant: module('cache'),
    weights: { start: 40, end: 10, watches: 20 },
    // A cache is right as long as it is told.
    tune: (operation) =>
      operation.op === 'cut' || operation.op === 'stall'
        ? { ...operation, op: 'stall', forMs: 2_000 + operation.forMs }
        : deploy(operation, { verb: 'rollback' }),
    rules: ['one pending revision at a time'],
  },
  {
    name: 'the guard is dropped',
    plant: { without: ['guard'] },
    weights: { start: 40, end: 10, clear: 30 },
    tune: (operation) => clearing(operation, { how: 'kubectl delete secret' }),
    rules: ['the record of a live lock was lost'],
  },
  {
    name: 'the fence is dropped',
    plant: { without: ['fence'] },
    weights: { start: 40, end: 30, clear: 30 },
    tune: (operation) => clearing(operation, { how: 'mark-failed', force: true, isLate: false }),
    rules: ['what has ended stays ended'],
  },
  {
    name: 'the uid check is forgotten',
    plant: module('uid'),
    weights: { start: 30, end: 30, clear: 40 },
    tune: (operation) => clearing(operation, { how: 'mark-failed', force: true, isLate: true }),
    rules: ['a live lock was cleared'],
  },
  {
    name: 'any client may write failed into a live revision',
    plant: module('end'),
    weights: { start: 40, end: 10 },
    tune: (operation) => deploy(operation, pick(operation, { verb: 'upgrade' }, { verb: 'reconcile' })),
    rules: ['a live lock was ended by another client'],
  },
  {
    name: 'an uninstall begins beside a live deploy',
    plant: module('uninstall'),
    weights: { start: 40, end: 10 },
    tune: (operation) => deploy(operation, pick(operation, { verb: 'upgrade' }, { verb: 'uninstall' })),
    rules: ['an uninstall waits for a live deploy'],
  },
  {
    name: 'a deployed record is created beside a live deploy',
    plant: module('restore'),
    weights: { start: 40, end: 10 },
    tune: (operation) =>
      deploy(operation, pick(operation, { verb: 'upgrade' }, { verb: 'restore' }, { verb: 'migrate' })),
    rules: ['nothing is made beside a lock'],
  },
  {
    name: 'a rollback from the same gateway pod is admitted',
    plant: module('same-pod'),
    weights: { start: 40, end: 10 },
    tune: (operation) => deploy(operation, { verb: 'rollback', where: 'gateway', gateway: 0, historyMax: 0 }),
    rules: ['one pending revision at a time'],
  },
  {
    name: 'the end of a gateway pod is the end of its holder',
    plant: module('gateway-death'),
    weights: { start: 40, end: 5, replaceGateway: 10 },
    tune: (operation) =>
      operation.op === 'replaceGateway'
        ? { ...operation, gateway: 0, pauseMs: LONG_MS }
        : deploy(succeeding(operation), { where: 'gateway', gateway: 0, historyMax: 0 }),
    rules: ['a live lock was cleared'],
  },
  {
    name: 'a holder whose job pod runs may be silent for 15 minutes only',
    plant: module('running'),
    weights: { start: 40, end: 5, time: 10 },
    tune: (operation) =>
      operation.op === 'time'
        ? { ...operation, minutes: 16 }
        : deploy(
            succeeding(operation),
            pick(operation, { verb: 'upgrade', where: 'job pod' }, { verb: 'rollback' }),
          ),
    rules: ['a live lock was cleared'],
  },
  {
    name: 'the date of the last answer decides how long a lock was silent',
    plant: module('date'),
    weights: { start: 40, end: 5, clock: 20 },
    tune: (operation) =>
      operation.op === 'clock'
        ? { ...operation, offMs: 1_200_000, isMixed: false, forMs: 4_000 }
        : deploy(succeeding(operation), pick(operation, { verb: 'upgrade' }, { verb: 'rollback' })),
    // The guard takes it for stale as well.
    rules: ['a live lock was cleared', 'the record of a live lock was lost'],
  },
  {
    name: 'a death is not read again before a lock is cleared',
    plant: module('confirm'),
    weights: { start: 40, end: 5, endPod: 10 },
    tune: (operation) =>
      operation.op === 'endPod'
        ? { ...operation, isKilled: false, next: 'the same', backMs: 12_000, pauseMs: LONG_MS }
        : deploy(succeeding(operation), { verb: 'upgrade', where: 'job pod' }),
    rules: ['a live lock was cleared'],
  },
  {
    name: 'a claim counts for its uid alone',
    plant: module('claim'),
    weights: { start: 30, end: 10, forge: 10 },
    tune: (operation) =>
      operation.op === 'forge'
        ? { ...operation, release: 0, as: 'another release', pod: 'their own', pauseMs: LONG_MS }
        : succeeding(operation),
    rules: ['a live lock was cleared', 'a ReleaseLock names its holder', 'a holder may end its lock'],
  },
];

/** Until a pod that is gone counts as dead, it was looked at, and its lock was cleared. */
const LONG_MS = 22_000;

/** Nothing is to be learnt from several releases, or from those that do not get as far as their hook. */
function deploy(operation: Operation, changes: Partial<OperationOf<'start'>> = {}): Operation {
  if (operation.op !== 'start') return operation;
  const verb = operation.verb === 'rollback' ? 'rollback' : 'upgrade';
  return { ...operation, verb, by: 'synthetic', release: 0, isSlow: false, ...changes };
}

/** One of several, by chance, as the operation itself is. */
function pick(operation: Operation, ...changes: readonly Partial<OperationOf<'start'>>[]) {
  const { release = 0 } = operation as Partial<OperationOf<'start'>>;
  return changes[release % changes.length] ?? {};
}

function succeeding(operation: Operation): Operation {
  return operation.op === 'end' ? { ...operation, outcome: 'deployed' } : deploy(operation);
}

function clearing(operation: Operation, changes: Partial<OperationOf<'clear'>>): Operation {
  return operation.op === 'clear' ? { ...operation, release: 0, ...changes } : deploy(operation);
}

/** What the adversary may do next, as plain data: fast-check makes it up, and makes it smaller when something was found. */
import fc from 'fast-check';
import { JOB_OWNERS } from './identities.ts';

const index = fc.nat(1_000);

/** Until the next operation begins. */
const pauseMs = fc.nat({ max: 120 });

const outcome = fc.constantFrom('deployed', 'deployed', 'failed');

const start = fc.record({
  op: fc.constant('start'),
  /** Real Helm costs a hundred times as much. */
  by: fc.oneof(
    { weight: 14, arbitrary: fc.constant('synthetic') },
    { weight: 1, arbitrary: fc.constantFrom('3.17.3', '4.1.4') },
  ),
  verb: fc.oneof(
    { weight: 10, arbitrary: fc.constant('upgrade') },
    { weight: 12, arbitrary: fc.constant('rollback') },
    { weight: 2, arbitrary: fc.constant('uninstall') },
    { weight: 3, arbitrary: fc.constant('reconcile') },
    { weight: 2, arbitrary: fc.constantFrom('migrate', 'restore') },
  ),
  release: index,
  /** A job pod of its own, or one that others are in, too; behind a gateway pod; or a person. */
  where: fc.constantFrom('person', 'person', 'job pod', 'job pod', 'shared job pod', 'gateway'),
  owner: fc.constantFrom(...JOB_OWNERS),
  gateway: index,
  keepHistory: fc.boolean(),
  /** Whether it stops when its first write is refused: {@link Command.isStrict}. */
  isStrict: fc.boolean(),
  historyMax: fc.constantFrom(0, 0, 2, 3),
  atomic: fc.boolean(),
  isSlow: fc.oneof({ weight: 4, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
  /** So many begin at the same moment. */
  atOnce: fc.constantFrom(1, 1, 1, 2, 3),
  pauseMs,
});

const end = fc.record({ op: fc.constant('end'), client: index, outcome, pauseMs });

const move = fc.record({
  op: fc.constantFrom('hook', 'freeze', 'resume', 'kill'),
  client: index,
  pauseMs,
});

const endPod = fc.record({
  op: fc.constant('endPod'),
  client: index,
  /** The client is killed with it; else it goes on as long as its token is taken. */
  isKilled: fc.boolean(),
  /** The pod that is there afterwards: none, another one of its name, or the same one, as after a restore of etcd. */
  next: fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom('none', 'another') },
    { weight: 1, arbitrary: fc.constant('the same') },
  ),
  backMs: fc.constantFrom(1_000, 7_000, 12_000),
  pauseMs,
});

/** The pod of a gateway is replaced by the next one. Whatever is behind it lives on. */
const replaceGateway = fc.record({ op: fc.constant('replaceGateway'), gateway: index, pauseMs });

const clear = fc.record({
  op: fc.constant('clear'),
  release: index,
  how: fc.constantFrom('mark-failed', 'delete', 'kubectl delete rlock', 'kubectl delete secret'),
  force: fc.boolean(),
  /** Names the record that was seen the last time. */
  isLate: fc.boolean(),
  pauseMs,
});

/** Somebody writes a label by hand, and not the payload. */
const relabel = fc.record({
  op: fc.constant('relabel'),
  release: index,
  labels: fc.constantFrom(
    { status: 'deployed' },
    { status: 'failed' },
    { status: null },
    { owner: null },
    { name: 'none-of-these' },
  ),
  pauseMs,
});

/** Somebody who can reach the replicas sends reviews of their own, with the uid of a record that is stored. */
const forge = fc.record({
  op: fc.constant('forge'),
  release: index,
  /** In whose name: of a release that is not there, or of the one whose record it is. */
  as: fc.constantFrom('another release', 'another release', 'the release', 'the next revision'),
  /** The pod that is to hold the lock: none that is there, or one of their own, which they end. */
  pod: fc.constantFrom('made up', 'their own'),
  /** What the watches of all replicas do meanwhile. */
  watches: fc.constantFrom('live', 'cut', 'stall'),
  pauseMs,
});

const replica = fc.record({
  op: fc.constantFrom('SIGKILL', 'SIGTERM'),
  replica: index,
  downMs: fc.nat({ max: 2_000 }),
  skewMinutes: fc.constantFrom(0, 0, -4, 4),
  pauseMs,
});

const watches = fc.record({
  op: fc.constantFrom('cut', 'stall'),
  replica: index,
  forMs: fc.nat({ max: 4_000 }),
  pauseMs,
});

/** An API server's clock is wrong, as one replica hears it: in every answer, or in every other one, as of one server of two. */
const clock = fc.record({
  op: fc.constant('clock'),
  replica: index,
  offMs: fc.constantFrom(-20_000, 20_000, -1_200_000, 1_200_000),
  isMixed: fc.boolean(),
  forMs: fc.nat({ max: 4_000 }),
  pauseMs,
});

/** The API server is away, for all replicas. */
const block = fc.record({ op: fc.constant('block'), forMs: fc.nat({ max: 1_500 }), pauseMs });

/** Of the API server. Resolves when it is back; whatever is under way meanwhile meets it. */
const restart = fc.record({ op: fc.constant('restart'), pauseMs });

const rotate = fc.record({ op: fc.constant('rotate'), pauseMs });

const time = fc.record({ op: fc.constant('time'), minutes: fc.constantFrom(5, 10, 16, 31), pauseMs });

const KINDS = {
  start,
  end,
  move,
  endPod,
  replaceGateway,
  clear,
  relabel,
  forge,
  replica,
  watches,
  clock,
  block,
  restart,
  rotate,
  time,
};

export type Kind = keyof typeof KINDS;

/** How often each is chosen, among all. */
export type Weights = Readonly<Record<Kind, number>>;

export const WEIGHTS: Weights = {
  start: 40,
  end: 28,
  move: 12,
  endPod: 6,
  replaceGateway: 3,
  clear: 14,
  relabel: 3,
  forge: 4,
  replica: 2,
  watches: 4,
  clock: 4,
  block: 1,
  restart: 1,
  rotate: 1,
  time: 2,
};

type Arbitraries = typeof KINDS;
export type OperationOf<K extends Kind> = Arbitraries[K] extends fc.Arbitrary<infer T> ? T : never;
export type Operation = { [K in Kind]: OperationOf<K> }[Kind];

/** Whole runs. Without the small values that fast-check begins with otherwise: each run has to wait for its dead. */
export function operationsOf(weights: Weights, atMost: number): fc.Arbitrary<Operation[]> {
  const each = Object.entries(KINDS).map(([kind, arbitrary]) => ({
    weight: weights[kind as Kind],
    arbitrary: arbitrary as fc.Arbitrary<Operation>,
  }));
  return fc.noBias(fc.array(fc.oneof(...each), { minLength: 1, maxLength: atMost, size: 'max' }));
}

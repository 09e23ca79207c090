/** When ReleaseLocks are written, and by whom: at once by who let a deploy in, later by the others, and never by who knows nothing. */
import t, { type Test } from 'tap';
import type { Client, Judgement, Lock } from '../../src/gate/lock.ts';
import type { Revision } from '../../src/helm/release.ts';
import type { NewReleaseLock, ReleaseLock } from '../../src/kubernetes/release-locks.ts';
import { KubernetesError } from '../../src/kubernetes/requests.ts';
import { keepLedger } from '../../src/locks/ledger.ts';
import { limits } from '../support/limits.ts';
import { testLog } from '../support/log.ts';
import { revision } from '../support/revisions.ts';
import { sleeper } from '../support/sleeper.ts';

const ALICE: Client = { user: 'alice', pod: undefined };

const LIVE: Judgement = { verdict: 'live', reason: 'any', staleInSeconds: 900 };

function pending(name: string, uid = `uid-of-${name}`): Revision {
  return revision(1, 'pending-install', { release: { driver: 'secrets', namespace: 'prod', name }, uid });
}

/** A ledger before a store that does what it is told, whose watch the test turns by hand. */
async function start(t: Test) {
  const { clock, asleep } = sleeper();
  const logs = testLog();
  const written: string[] = [];
  const entries = new Map<string, ReleaseLock>();
  const claims = new Map<string, Client>();
  const known = {
    locks: [] as Lock[],
    isComplete: true,
    isRecorded: true,
    stored: [] as Revision[],
    waiting: 0,
    /** Whether somebody else has just made each entry. */
    isTaken: false,
    verdict: 'live' as Judgement['verdict'],
  };
  const failure = { error: undefined as Error | undefined };
  let versions = 0;
  /** Uids of records whose client's pod is still being looked at. */
  const beingRead = new Set<string>();

  async function write(what: string, lock: NewReleaseLock | ReleaseLock): Promise<boolean> {
    written.push(`${what} ${lock.metadata.name}`);
    if (failure.error) throw failure.error;
    return true;
  }

  const sleeping = asleep();
  const ledger = keepLedger({
    replica: 'here',
    current: { locks: () => known.locks, isComplete: () => known.isComplete },
    recorded: { entries, isComplete: () => known.isRecorded },
    store: {
      async create(lock) {
        await write('create', lock);
        const { metadata, ...rest } = lock;
        return known.isTaken
          ? undefined
          : { metadata: { ...metadata, uid: 'new', resourceVersion: '1' }, ...rest };
      },
      replaceSpec: (lock) => write('name-holder', lock),
      replaceStatus: (lock) => write('write-status', lock),
      remove: (lock) => write('remove', lock),
    },
    holders: { claimOf: ({ uid }) => claims.get(uid), isBeingRead: ({ uid }) => beingRead.has(uid) },
    readNewest: async () => known.stored,
    judge: () => ({ ...LIVE, verdict: known.verdict }),
    waiting: () => known.waiting,
    limits: limits(),
    clock,
    date: clock.date,
    random: () => 1,
    log: logs.log,
  });
  t.teardown(() => ledger.stop());
  await sleeping;

  /** Does it, and resolves when the ledger has done all that it wants to do now. */
  async function settled(act: () => void): Promise<void> {
    const sleeping = asleep();
    act();
    await sleeping;
  }

  return {
    clock,
    known,
    claims,
    beingRead,
    logs,
    failure,
    /** What was written since it was last asked. */
    written: () => written.splice(0),
    wake: () => settled(() => ledger.wake()),
    /** Somebody wakes it when this time has passed. */
    advance: (ms: number) =>
      settled(() => {
        clock.advance(ms);
        ledger.wake();
      }),
    /** Nobody does. */
    sleep: (ms: number) => settled(() => clock.advance(ms)),
    lock(name: string, claim?: Client): void {
      const revision = pending(name);
      known.locks.push({ revision, holder: claim });
      if (claim) claims.set(revision.uid, claim);
    },
    /** The watch tells of an entry, which says of the lock what there is to say. */
    tell(name: string, changes: Partial<ReleaseLock> = {}): Promise<void> {
      versions += 1;
      entries.set(`prod/${name}`, { ...entryOf(name, versions), ...changes });
      return settled(() => ledger.wake(`prod/${name}`));
    },
    tellGone(name: string): Promise<void> {
      entries.delete(`prod/${name}`);
      return settled(() => ledger.wake(`prod/${name}`));
    },
  };
}

function entryOf(name: string, version: number): ReleaseLock {
  return {
    metadata: { name, namespace: 'prod', uid: `entry-${name}`, resourceVersion: String(version) },
    spec: {
      driver: 'secrets',
      revision: 1,
      status: 'pending-install',
      recordUID: `uid-of-${name}`,
      since: '1970-01-01T00:00:00Z',
      holder: { user: 'alice' },
    },
    status: { verdict: 'live', lastActivity: '1970-01-01T00:00:00Z', waiting: 0, replicas: [] },
  };
}

const CREATED = (name: string) => [`create ${name}`, `write-status ${name}`];

t.test(
  'who let a deploy in writes its entry at once, with its status, and takes it away at once',
  async (t) => {
    const { lock, known, wake, tell, written } = await start(t);
    lock('api', ALICE);
    await wake();
    t.same(written(), CREATED('api'));
    await wake();
    t.same(written(), [], 'the watch has its say before anything else is done');
    await tell('api', { status: {} });
    t.same(written(), [], 'the status is on its way');
    await tell('api');
    known.locks = [];
    await wake();
    t.same(written(), ['remove api']);
  },
);

t.test('an entry that somebody else makes at that moment has its status from them', async (t) => {
  const { lock, known, wake, tell, written, sleep } = await start(t);
  known.isTaken = true;
  lock('api', ALICE);
  await wake();
  t.same(written(), ['create api']);
  await tell('api', { status: {} });
  t.same(written(), []);
  await sleep(1_000);
  t.same(written(), ['write-status api'], 'or a second later');
});

for (const [what, changes, verdict] of [
  ['an entry that says so', { status: { ...entryOf('api', 1).status, verdict: 'expired' } }, 'live'],
  [
    'an entry that does not say so yet',
    { status: { ...entryOf('api', 1).status, lastActivity: '1970-01-01T00:00:05Z' } },
    'dead-holder',
  ],
  [
    'a marked entry',
    { metadata: { ...entryOf('api', 1).metadata, annotations: { 'lockkeeper.dev/force': 'true' } } },
    'live',
  ],
] as const) {
  t.test(
    `kubectl may be deleting it: the entry of a stale lock stays a moment longer: ${what}`,
    async (t) => {
      const { lock, known, wake, tell, written, advance, sleep } = await start(t);
      lock('api', ALICE);
      known.verdict = verdict;
      await tell('api', changes);
      await wake();
      written();
      known.locks = [];
      await wake();
      await advance(499);
      t.same(written(), []);
      await sleep(1);
      t.same(written(), ['remove api']);
    },
  );
}

t.test('a lock that was stale, and is live again, ends like any other', async (t) => {
  const { lock, known, tell, written, wake, tellGone } = await start(t);
  lock('api', ALICE);
  known.verdict = 'expired';
  await tell('api');
  known.verdict = 'live';
  await tell('api');
  written();
  known.locks = [];
  await wake();
  t.same(written(), ['remove api']);

  await tellGone('api');
  lock('web', ALICE);
  known.verdict = 'expired';
  await tell('web');
  await tellGone('web');
  known.locks = [];
  await tell('web');
  written();
  await wake();
  t.same(written(), [], 'one quick entry after another');
});

t.test('the others do it three seconds later', async (t) => {
  const { lock, known, wake, tell, written, advance } = await start(t);
  lock('api');
  await wake();
  await advance(2_999);
  t.same(written(), []);
  await advance(1);
  t.same(written(), CREATED('api'));
  await tell('api', { status: {} });
  await advance(999);
  t.same(written(), []);
  await advance(1);
  t.same(written(), ['write-status api']);
  await tell('api');
  known.locks = [];
  await wake();
  await advance(2_999);
  t.same(written(), []);
  await advance(1);
  t.same(written(), ['remove api']);
});

t.test('a holder is added to the entry that another one has written', async (t) => {
  const { lock, tell, written } = await start(t);
  lock('api', ALICE);
  const { holder: _, ...spec } = entryOf('api', 1).spec as NonNullable<ReleaseLock['spec']>;
  await tell('api', { spec });
  t.same(written(), ['name-holder api']);
});

t.test('an entry is not taken away while its lock is stored: the watch may be late', async (t) => {
  const { known, tell, tellGone, written, advance } = await start(t);
  for (const [name, stored, expected] of [
    ['late', [pending('late')], []],
    ['another', [pending('another', 'other')], ['remove another']],
    ['ended', [{ ...pending('ended'), status: 'deployed' }], ['remove ended']],
    ['gone', [], ['remove gone']],
  ] as const) {
    known.stored = [...stored];
    await tell(name);
    await advance(3_000);
    t.same(written(), expected);
    await tellGone(name);
  }
  const spec = { ...(entryOf('api', 1).spec as NonNullable<ReleaseLock['spec']>), driver: 'sql' };
  known.stored = [pending('api')];
  await tell('api', { spec });
  await advance(3_000);
  t.same(written(), ['remove api'], 'where nobody can look, there is no lock');
});

t.test('it is looked at again after a while', async (t) => {
  const { known, tell, written, advance } = await start(t);
  known.stored = [pending('api')];
  await tell('api');
  await advance(3_000);
  known.stored = [];
  await advance(9_999);
  t.same(written(), []);
  await advance(1);
  t.same(written(), ['remove api']);
});

t.test('whoever knows nothing does nothing', async (t) => {
  const { known, lock, tell, wake, written, advance } = await start(t);
  lock('web', ALICE);
  known.isComplete = false;
  await tell('api');
  await advance(600_000);
  known.isComplete = true;
  known.isRecorded = false;
  await wake();
  t.same(written(), []);
  known.isRecorded = true;
  await wake();
  t.same(written(), CREATED('web'));
});

t.test('an entry that somebody deletes by hand comes back, after a while', async (t) => {
  const { lock, tell, tellGone, written, advance } = await start(t);
  lock('api', ALICE);
  await tell('api');
  await tellGone('api');
  t.same(written(), []);
  await advance(3_000);
  t.same(written(), CREATED('api'));
});

t.test('who begins to wait is counted within a second, and a status is written once a second', async (t) => {
  const { lock, tell, written, sleep, known, wake } = await start(t);
  lock('api', ALICE);
  await tell('api');
  known.waiting = 1;
  await sleep(1_000);
  t.same(written(), ['write-status api']);
  known.waiting = 2;
  await tell('api', { status: { ...entryOf('api', 1).status, waiting: 1 } });
  await wake();
  t.same(written(), [], 'not so soon');
  await sleep(1_000);
  t.same(written(), ['write-status api']);
});

t.test('of two drivers, only the first lock of a name has an entry', async (t) => {
  const { lock, known, wake, written } = await start(t);
  lock('api', ALICE);
  const release = { driver: 'configmaps', namespace: 'prod', name: 'api' } as const;
  known.locks.push({ revision: { ...pending('api', 'other'), release }, holder: undefined });
  await wake();
  t.same(written(), CREATED('api'));
});

t.test('many are written a few at a time, those that nobody else writes first', async (t) => {
  const { lock, wake, written, advance, sleep } = await start(t);
  for (let index = 0; index < 150; index += 1) lock(`late-${index}`);
  await wake();
  for (let index = 0; index < 150; index += 1) lock(`own-${index}`, ALICE);
  await advance(3_000);
  const rounds = [written()];
  for (const _ of ['second', 'third']) {
    await sleep(0);
    rounds.push(written());
  }
  t.same(
    rounds.map(({ length }) => length),
    [200, 200, 200],
  );
  const created = rounds.flat().filter((what) => what.startsWith('create '));
  t.ok(created.slice(0, 150).every((what) => what.startsWith('create own-')));
});

t.test('what fails is said once, and tried again; the others go on', async (t) => {
  const { lock, wake, written, advance, failure, logs, tell } = await start(t);
  lock('api', ALICE);
  failure.error = new KubernetesError('POST', 403, 'forbidden');
  await wake();
  t.same(written(), ['create api']);
  failure.error = undefined;
  lock('web', ALICE);
  await advance(1_000);
  t.same(written(), CREATED('web'));
  await tell('web');
  failure.error = new KubernetesError('POST', 403, 'forbidden');
  await advance(30_000);
  t.same(written(), ['create api'], 'half a minute later');
  const said = () => logs.lines.filter(({ msg }) => msg === 'ReleaseLocks cannot be kept current').length;
  t.equal(said(), 1);
  failure.error = new Error('no answer');
  await advance(31_000);
  t.equal(said(), 2, 'another reason');
  failure.error = undefined;
  await advance(31_000);
  await tell('api');
  lock('db', ALICE);
  failure.error = new Error('no answer');
  await advance(3_000);
  t.equal(said(), 3, 'the same one, after all was well');
});

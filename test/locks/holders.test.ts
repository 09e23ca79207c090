/** Who holds a lock: the client whose review named the record that was then stored, and what kind of pod it is in. */
import t, { type Test } from 'tap';
import type { Death, Lock, Pod } from '../../src/gate/lock.ts';
import type { RecordIdentity } from '../../src/gate/ports.ts';
import type { Release } from '../../src/helm/release.ts';
import { createHolders, type PodFacts } from '../../src/locks/holders.ts';
import { fakeClock } from '../support/fake-clock.ts';
import { revision } from '../support/revisions.ts';

const release: Release = { driver: 'secrets', namespace: 'prod', name: 'api' };
const alice = { user: 'alice', pod: undefined };
const mallory = { user: 'mallory', pod: undefined };
const POD: Pod = { namespace: 'ci', name: 'runner-7f9c', uid: 'pod-1' };
const RUNNER = { user: 'system:serviceaccount:ci:runner', pod: POD };

function harness() {
  const clock = fakeClock();
  const deaths = new Map<string, Death>();
  const recorded = new Map<string, Pick<Lock, 'holder'>>();
  const described: { pod: Pod; answer: PromiseWithResolvers<PodFacts> }[] = [];
  let timesDescribed = 0;
  const holders = createHolders({
    recordOf: ({ uid }) => recorded.get(uid),
    describePod: (pod) => {
      const answer = Promise.withResolvers<PodFacts>();
      described.push({ pod, answer });
      return answer.promise;
    },
    onDescribed: () => {
      timesDescribed += 1;
    },
    silentSince: ({ lastWriteAt }) => lastWriteAt,
    deathOf: (pod) => deaths.get(pod.uid),
    now: clock.now,
  });
  return { clock, deaths, recorded, described, holders, timesDescribed: () => timesDescribed };
}

function record(uid: string, changes: Partial<RecordIdentity> = {}): RecordIdentity {
  return { release, number: 6, uid, ...changes };
}

const claim = { release, revision: 6 };

t.test('the client whose review named the record holds the lock', async (t) => {
  const { holders } = harness();
  t.equal(holders.holderOf(record('u-1')), undefined);
  holders.admitted({ ...claim, uid: 'u-1', client: alice });
  t.equal(holders.holderOf(record('u-1')), alice);
  t.equal(holders.holderOf(record('u-2')), undefined);
});

t.test('a claim counts for one record of one release, and for nothing else', async (t) => {
  const { holders } = harness();
  holders.admitted({ ...claim, uid: 'u-1', client: alice });
  holders.admitted({ ...claim, uid: 'u-1', client: mallory });
  t.equal(holders.holderOf(record('u-1')), alice, 'the first one stays');
  const others: [string, Partial<RecordIdentity>][] = [
    ['another release', { release: { ...release, name: 'not-there' } }],
    ['another namespace', { release: { ...release, namespace: 'staging' } }],
    ['another driver', { release: { ...release, driver: 'configmaps' } }],
    ['another revision', { number: 7 }],
  ];
  for (const [name, changes] of others) {
    const { holders } = harness();
    const { release: other = release, number = 6 } = changes;
    holders.admitted({ release: other, revision: number, uid: 'u-1', client: mallory });
    t.equal(holders.holderOf(record('u-1')), undefined, `a review of ${name} with the uid of a live record`);
    t.equal(holders.holderOf(record('u-1', changes)), mallory, 'it names what it is about');
  }
});

t.test('a recorded holder is never overridden, and a contradiction names nobody', async (t) => {
  const { holders, recorded } = harness();
  const held = revision(6, 'pending-upgrade');
  recorded.set(held.uid, { holder: alice });
  t.strictSame(holders.lockOf(held), { revision: held, holder: alice, silentSince: 0, isListed: true });
  t.equal(holders.claimOf(held), undefined, 'which is no claim of its own');

  holders.admitted({ ...claim, uid: held.uid, client: mallory });
  t.equal(holders.lockOf(held).holder, undefined, 'the ReleaseLock and the claim disagree');
  recorded.set(held.uid, { holder: { ...mallory, podKind: 'gateway' } });
  t.match(holders.lockOf(held), { holder: { ...mallory, podKind: 'gateway' } }, 'they agree');
  recorded.set(held.uid, { holder: { ...mallory, pod: POD } });
  t.equal(holders.lockOf(held).holder, undefined, 'the same user in another pod is another client');
  recorded.set(held.uid, { holder: { user: mallory.user, pod: POD } });
  t.equal(holders.lockOf(held).holder, undefined, 'so is one with and one without a pod');
  recorded.set(held.uid, { holder: undefined });
  t.match(
    holders.lockOf(held),
    { holder: mallory, isListed: true },
    'a ReleaseLock without a holder says nothing',
  );
});

/** Resolves when all that can go on has gone on. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

async function describedAs(t: Test, end: (answer: PromiseWithResolvers<PodFacts>) => void) {
  const { holders, described, timesDescribed } = harness();
  holders.admitted({ ...claim, uid: 'u-1', client: RUNNER });
  t.equal(holders.isBeingRead(record('u-1')), true);
  t.equal(holders.claimOf(record('u-1')), undefined, 'nothing is told before the pod was read');
  t.equal(holders.holderOf(record('u-1')), RUNNER, 'the client itself is known at once');
  t.strictSame(
    described.map(({ pod }) => pod),
    [POD],
  );
  for (const { answer } of described) end(answer);
  await settle();
  t.equal(timesDescribed(), 1);
  t.equal(holders.isBeingRead(record('u-1')), false);
  return holders;
}

t.test('the pod of a client is read once, beside the answer', async (t) => {
  const holders = await describedAs(t, ({ resolve }) => resolve({ podKind: 'job', neverAutoClear: true }));
  const holder = { ...RUNNER, podKind: 'job', neverAutoClear: true } as const;
  t.strictSame(holders.claimOf(record('u-1')), holder);
  t.strictSame(holders.holderOf(record('u-1')), holder);
});

t.test('a pod that cannot be read has no kind', async (t) => {
  const holders = await describedAs(t, ({ reject }) => reject(new Error('connect ECONNREFUSED')));
  t.strictSame(holders.claimOf(record('u-1')), RUNNER);
});

t.test('a client without a pod is known at once', async (t) => {
  const { holders, described } = harness();
  holders.admitted({ ...claim, uid: 'u-1', client: alice });
  t.equal(holders.isBeingRead(record('u-1')), false);
  t.equal(holders.claimOf(record('u-1')), alice);
  t.strictSame(described, []);
  t.equal(holders.isBeingRead(record('u-2')), false, 'nor is a record that nobody claimed');
});

t.test('a lock says that its holder’s pod has ended, once that is proven', async (t) => {
  const { holders, deaths } = harness();
  holders.admitted({ ...claim, uid: 'uid-of-6', client: RUNNER });
  const held = revision(6, 'pending-upgrade');
  t.strictSame(holders.lockOf(held), { revision: held, holder: RUNNER, silentSince: 0 });
  const death = { how: 'is gone', provenAt: 5_000 };
  deaths.set(POD.uid, death);
  t.strictSame(holders.lockOf(held), { revision: held, holder: RUNNER, silentSince: 0, death });
});

t.test('the client that made a revision does not hold it while it is uninstalled', async (t) => {
  const { holders, described, deaths } = harness();
  holders.admitted({ ...claim, uid: 'u-1', client: RUNNER });
  described[0]?.answer.resolve({ podKind: 'job' });
  await described[0]?.answer.promise;
  deaths.set(POD.uid, { how: 'is gone', provenAt: 1 });
  t.match(holders.lockOf(revision(6, 'pending-upgrade', { uid: 'u-1' })), { holder: RUNNER, death: {} });
  const { holder, death } = holders.lockOf(revision(6, 'uninstalling', { uid: 'u-1' }));
  t.same([holder, death], [undefined, undefined]);
});

t.test('a record is on its way from its admission until it appears, a second at most', async (t) => {
  const { clock, holders } = harness();
  const web: Release = { ...release, name: 'web' };
  t.equal(holders.onTheWayUntil(release), undefined);

  holders.admitted({ ...claim, uid: 'u-1', client: alice });
  t.equal(holders.onTheWayUntil(release), clock.now() + 1_000);
  t.equal(holders.onTheWayUntil(web), undefined, 'for its own release only');
  holders.appeared(record('unknown'));
  t.equal(holders.onTheWayUntil(release), clock.now() + 1_000, 'another record appeared');
  holders.appeared(record('u-1'));
  t.equal(holders.onTheWayUntil(release), undefined, 'it appeared');

  holders.admitted({ ...claim, uid: 'u-2', client: alice });
  holders.admitted({ ...claim, uid: 'u-3', client: mallory });
  holders.appeared(record('u-2'));
  t.not(holders.onTheWayUntil(release), undefined, 'the later one is still on its way');
  clock.advance(1_000);
  t.equal(holders.onTheWayUntil(release), undefined, 'it never came');
});

/** Who holds a lock, §4.5: a name counts only if the record with that uid appears after it was given. */
import t from 'tap';
import type { Death, Lock } from '../../src/gate/lock.ts';
import type { Release } from '../../src/helm/release.ts';
import { createHolders } from '../../src/locks/holders.ts';
import { fakeClock } from '../support/fake-clock.ts';
import { revision } from '../support/revisions.ts';

const release: Release = { driver: 'secrets', namespace: 'prod', name: 'api' };
const alice = { user: 'alice', pod: undefined };
const mallory = { user: 'mallory', pod: undefined };

function harness() {
  const clock = fakeClock();
  const stored = new Set<string>();
  const deaths = new Map<string, Death>();
  const recorded = new Map<string, Pick<Lock, 'holder'>>();
  let isComplete = true;
  const holders = createHolders({
    isStored: (uid) => stored.has(uid),
    isComplete: () => isComplete,
    recordOf: ({ uid }) => recorded.get(uid),
    deathOf: (pod) => deaths.get(pod.uid),
    now: clock.now,
  });
  return {
    clock,
    stored,
    deaths,
    recorded,
    holders,
    setComplete: (complete: boolean) => {
      isComplete = complete;
    },
    holderOf: (uid: string) => holders.lockOf(revision(6, 'pending-upgrade', { uid })).holder,
  };
}

t.test('the client whose review named the uid holds the lock', async (t) => {
  const { holders, holderOf } = harness();
  t.equal(holderOf('u-1'), undefined);
  holders.admitted({ release, uid: 'u-1', client: alice });
  holders.appeared('u-1');
  t.equal(holderOf('u-1'), alice);
  t.equal(holderOf('u-2'), undefined);
});

t.test('a forged review can not take over a record', async (t) => {
  const { holders, holderOf, stored } = harness();
  holders.admitted({ release, uid: 'u-1', client: alice });
  holders.admitted({ release, uid: 'u-1', client: mallory });
  t.equal(holderOf('u-1'), alice, 'that is on its way: the first name stays');

  stored.add('u-2');
  holders.admitted({ release, uid: 'u-2', client: mallory });
  t.equal(holderOf('u-2'), undefined, 'that is stored already, and was admitted by another replica');
});

t.test('whoever does not know yet what is stored takes nobody’s word', async (t) => {
  const { holders, holderOf, setComplete } = harness();
  setComplete(false);
  holders.admitted({ release, uid: 'u-1', client: mallory });
  t.not(holders.onTheWayUntil(release), undefined, 'others wait for it all the same');
  setComplete(true);
  holders.admitted({ release, uid: 'u-1', client: mallory });
  t.equal(holderOf('u-1'), undefined, 'nor later: the record may have been stored all the time');
  t.equal(holders.claimOf('u-1'), undefined);
});

t.test('a holder whom this replica has not seen is read from the ReleaseLock', async (t) => {
  const { holders, recorded } = harness();
  const held = revision(6, 'pending-upgrade');
  recorded.set(held.uid, { holder: alice });
  t.strictSame(holders.lockOf(held), { revision: held, holder: alice, isListed: true });
  t.equal(holders.claimOf(held.uid), undefined, 'which is no claim of its own');
  holders.admitted({ release, uid: held.uid, client: mallory });
  t.equal(holders.lockOf(held).holder, mallory, 'what it has seen itself comes first');
  recorded.set(held.uid, { holder: undefined });
  t.match(holders.lockOf(held), { holder: mallory, isListed: true });
  t.equal(holders.claimOf(held.uid), mallory);
});

t.test('a lock says that its holder’s pod has ended, once that is proven', async (t) => {
  const { holders, deaths } = harness();
  const pod = { namespace: 'ci', name: 'runner-7f9c', uid: 'pod-1' };
  const holder = { user: 'system:serviceaccount:ci:runner', pod };
  holders.admitted({ release, uid: 'uid-of-6', client: holder });
  const held = revision(6, 'pending-upgrade');
  t.strictSame(holders.lockOf(held), { revision: held, holder });
  const death = { how: 'is gone', provenAt: 5_000 };
  deaths.set(pod.uid, death);
  t.strictSame(holders.lockOf(held), { revision: held, holder, death });
});

t.test('a record is on its way from its admission until it appears, a second at most', async (t) => {
  const { clock, holders } = harness();
  const web: Release = { ...release, name: 'web' };
  t.equal(holders.onTheWayUntil(release), undefined);

  holders.admitted({ release, uid: 'u-1', client: alice });
  t.equal(holders.onTheWayUntil(release), clock.now() + 1_000);
  t.equal(holders.onTheWayUntil(web), undefined, 'for its own release only');
  holders.appeared('unknown');
  t.equal(holders.onTheWayUntil(release), clock.now() + 1_000, 'another record appeared');
  holders.appeared('u-1');
  t.equal(holders.onTheWayUntil(release), undefined, 'it appeared');

  holders.admitted({ release, uid: 'u-2', client: alice });
  holders.admitted({ release, uid: 'u-3', client: mallory });
  holders.appeared('u-2');
  t.not(holders.onTheWayUntil(release), undefined, 'the later one is still on its way');
  clock.advance(1_000);
  t.equal(holders.onTheWayUntil(release), undefined, 'it never came');
});

/** What is told of the deploys that come to the gate. */
import t from 'tap';
import { ask, equalState, harness, settle } from '../support/gate-harness.ts';

const HELD = { reason: 'Held', record: { name: 'sh.helm.release.v1.api.v6', namespace: 'prod' } };

t.test(
  'a wait is told once, however often the client comes back, and its end of its own record',
  async (t) => {
    const { gate, clock, store, story } = harness();
    store(6, 'pending-upgrade');
    for (let visit = 0; visit < 3; visit++) {
      const deploy = ask(gate, { revision: 7, uid: `attempt-${visit}` });
      await equalState(t, deploy, 'waiting', 'held');
      clock.advance(10_000);
      t.match(await deploy.verdict, { denial: { code: 429 } });
      clock.advance(20_000);
    }
    t.match(story, [HELD], 'once');
    t.match(story[0]?.message, /^revision 7 .* waits for revision 6 /);
    store(6, 'deployed');
    t.match(await ask(gate, { revision: 7, uid: 'attempt-3' }).verdict, { allowed: true });
    t.match(story[1], {
      reason: 'Admitted',
      record: { name: 'sh.helm.release.v1.api.v7', uid: 'attempt-3' },
      message: /went on after a wait of 1m30s$/,
    });
    t.equal(story.length, 2);
  },
);

t.test('who loses the race, or has waited for too long, is told of the record in the way', async (t) => {
  const { gate, clock, store, story } = harness({ maxWaitSeconds: 5 });
  store(6, 'pending-upgrade');
  const deploy = ask(gate, { revision: 7 });
  await equalState(t, deploy, 'waiting', 'held');
  clock.advance(5_000);
  t.match(await deploy.verdict, { denial: { code: 409 } });
  t.match(story, [HELD, { ...HELD, reason: 'Refused', message: /it waited for 5s/ }]);
  t.match(await ask(gate, { revision: 6 }).verdict, { denial: { code: 409 } });
  t.match(story[2], { ...HELD, reason: 'Refused', message: /there was revision 6 \(pending-upgrade, / });
  t.equal(story.length, 3);
});

t.test('nothing is told of a dry run, nor of a deploy that need not wait', async (t) => {
  const { gate, store, story } = harness();
  t.match(await ask(gate, { revision: 5 }).verdict, { allowed: true });
  store(6, 'pending-upgrade');
  t.match(await ask(gate, { revision: 7, dryRun: true }).verdict, { denial: { code: 409 } });
  t.match(await ask(gate, { revision: 6, dryRun: true }).verdict, { denial: { code: 409 } });
  await settle();
  t.same(story, []);
});

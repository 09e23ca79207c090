/** Clearing a lock while the API server fails: what happened is found out, and what is not known is not said. */
import t, { type Test } from 'tap';
import { STRATEGIES, type Strategy } from '../../src/gate/clearing.ts';
import { DRIVERS } from '../../src/helm/release.ts';
import { CONFIGURATIONS, configurationOf, startFakeWebhook } from '../clusters/fake-webhook.ts';
import {
  type Clearing,
  failure,
  helmWrites,
  jsonOf,
  lockedRelease,
  pathOf,
  releaseJson,
  type Step,
  startClearing,
} from '../support/clearing.ts';

const WRITES: readonly [Strategy, Step][] = [
  ['mark-failed', 'PUT'],
  ['delete', 'DELETE'],
];

/** Nothing was changed, and nothing is said to be. */
async function isUntouched(t: Test, clearing: Clearing, before: object, name: string) {
  t.same(await clearing.admin.get(pathOf('secrets', 6)), before, `${name}: nothing is changed`);
  t.same([clearing.cleared, clearing.logs.lines, await clearing.events()], [[], [], []]);
}

t.test('given a write whose answer is lost', async (t) => {
  for (const driver of DRIVERS) {
    for (const [strategy, step] of WRITES) {
      const clearing = await startClearing(t);
      await lockedRelease(clearing, { driver });
      clearing.once(step, () => ({ loseAnswer: true }));
      clearing.cluster.traffic.reset();
      t.match(
        await clearing.clear({ strategy }),
        { kind: 'cleared' },
        `when it was done, then that is found out: ${strategy} in ${driver}`,
      );
      t.equal(clearing.count(step === 'PUT' ? 'update' : 'delete'), 1, 'and it is not sent again');
      t.equal(clearing.cleared.length, 1);
      t.same(clearing.logs.messages(), ['cleared']);
      t.match(await clearing.events(), [{ reason: 'Cleared' }]);
    }
  }
});

t.test('given a write whose answer is lost, and which was refused', async (t) => {
  for (const [strategy, step] of WRITES) {
    const clearing = await startClearing(t);
    const before = await lockedRelease(clearing);
    clearing.once(step, () => ({ loseAnswer: true, status: 503 }));
    const error = await failure(clearing.clear({ strategy }));
    t.match(error, { message: new RegExp(`^${step} .*/secrets/sh.helm.release.v1.api.v6: `) });
    await isUntouched(t, clearing, before, strategy);
  }
});

t.test(
  'given a PUT whose answer is lost because Helm was first, then it is not said to be cleared',
  async (t) => {
    const clearing = await startClearing(t);
    await lockedRelease(clearing);
    const { admin } = clearing;
    clearing.once('PUT', () => ({ until: helmWrites(admin, 6, 'deployed'), loseAnswer: true }));
    t.match(await failure(clearing.clear()), { message: /^PUT / });
    t.equal((await admin.get(pathOf('secrets', 6))).metadata.labels?.status, 'deployed');
    t.same(clearing.cleared, []);
  },
);

t.test('given a PUT whose answer is lost, and a record that is deleted before it is found out', async (t) => {
  const clearing = await startClearing(t);
  await lockedRelease(clearing);
  clearing.once('PUT', () => {
    clearing.before('read', () => clearing.admin.remove(pathOf('secrets', 6)));
    return { loseAnswer: true };
  });
  t.match(await failure(clearing.clear()), { message: /^PUT / }, 'then nobody can tell who did what');
  t.same(clearing.cleared, []);
});

t.test('given an API server that goes away before the write arrives, and comes back', async (t) => {
  for (const [strategy, step] of WRITES) {
    const clearing = await startClearing(t);
    const before = await lockedRelease(clearing);
    const { goAway, comeBack } = clearing.cluster.faults;
    let back = Promise.resolve();
    clearing.once(step, () => {
      back = goAway().then(comeBack);
      return { hang: true };
    });
    const error = await failure(clearing.clear({ strategy }));
    await back;
    t.match(error, { message: new RegExp(`^${step} .*/secrets/sh.helm.release.v1.api.v6: `) });
    await isUntouched(t, clearing, before, strategy);
  }
});

t.test('given an API server that goes away before the write arrives, and stays away', async (t) => {
  for (const [strategy, step] of WRITES) {
    const clearing = await startClearing(t);
    const before = await lockedRelease(clearing);
    const { goAway, comeBack } = clearing.cluster.faults;
    let away = Promise.resolve();
    clearing.once(step, () => {
      away = goAway();
      return { hang: true };
    });
    t.match(await failure(clearing.clear({ strategy })), { message: /^GET .*: connect ECONNREFUSED/ });
    await away;
    await comeBack();
    await isUntouched(t, clearing, before, strategy);
  }
});

t.test('given a write that hangs, when the caller leaves, then nothing is changed', async (t) => {
  for (const [strategy, step] of WRITES) {
    const clearing = await startClearing(t);
    const before = await lockedRelease(clearing);
    const leaving = new AbortController();
    clearing.once(step, () => {
      leaving.abort(new Error('left'));
      return { hang: true };
    });
    t.match(await failure(clearing.clear({ strategy }, leaving.signal)), { message: 'left' });
    await isUntouched(t, clearing, before, strategy);
  }
});

t.test('given an API server that refuses the write', async (t) => {
  for (const [strategy, step] of WRITES) {
    for (const status of [401, 403, 409, 429, 500, 503]) {
      const clearing = await startClearing(t);
      const before = await lockedRelease(clearing);
      clearing.on(step, () => ({ status }));
      t.match(
        await failure(clearing.clear({ strategy })),
        {
          name: 'KubernetesError',
          status,
          message: new RegExp(`^${step} .* was told to fail with ${status}`),
        },
        `with ${status}, then that is the error`,
      );
      await isUntouched(t, clearing, before, strategy);
    }
  }
});

t.test(
  'given an API server that does not take the edited record, then the other strategy is left',
  async (t) => {
    const clearing = await startClearing(t);
    const before = await lockedRelease(clearing);
    clearing.on('PUT', () => ({ status: 422 }));
    const outcome = await clearing.clear({ strategy: 'mark-failed' });
    t.match(outcome, { kind: 'unreadable', words: /may be immutable, or too long by a few bytes/ });
    await isUntouched(t, clearing, before, 'mark-failed');
    t.match(await clearing.clear({ strategy: 'delete' }), { kind: 'cleared' });
  },
);

t.test('given another admission webhook that refuses with a conflict', async (t) => {
  const webhook = await startFakeWebhook(t);
  webhook.decide(({ operation }) => ({
    allowed: operation === 'CREATE',
    status: { code: 409, message: 'not on a Friday' },
  }));
  for (const strategy of STRATEGIES) {
    const clearing = await startClearing(t);
    const before = await lockedRelease(clearing);
    await clearing.admin.create(CONFIGURATIONS, configurationOf(webhook));
    t.match(
      await failure(clearing.clear({ strategy })),
      { name: 'KubernetesError', status: 409, message: /denied the request: not on a Friday$/ },
      'then nothing has changed, and that is not said',
    );
    await isUntouched(t, clearing, before, strategy);
  }
});

t.test('given reads that fail', async (t) => {
  for (const strategy of STRATEGIES) {
    for (const [step, message] of [
      ['list', /^GET .*\/secrets\?.*: 403/],
      ['read', /^GET .*\/secrets\/sh.helm.release.v1.api.v6: 403/],
    ] as const) {
      if (strategy === 'delete' && step === 'read') continue; // it reads no payload
      const clearing = await startClearing(t);
      const before = await lockedRelease(clearing);
      const mend = clearing.on(step, () => ({ status: 403 }));
      t.match(await failure(clearing.clear({ strategy })), { status: 403, message }, `${strategy}: ${step}`);
      mend();
      await isUntouched(t, clearing, before, strategy);
    }
  }
});

t.test('given a PUT that is told to come later, then it is sent again, once', async (t) => {
  const clearing = await startClearing(t);
  await lockedRelease(clearing);
  clearing.once('PUT', () => ({ status: 429, retryAfterSeconds: 1 }));
  t.match(await clearing.clear(), { kind: 'cleared' });
  const json = jsonOf(await clearing.admin.get(pathOf('secrets', 6)));
  const { description } = JSON.parse(json).info;
  t.equal(json, releaseJson('failed', 6, description));
});

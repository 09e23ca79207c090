/** Tokens that replicas share through a Secret: made, rotated, emptied by hand, and in trouble. */
import t, { type Test } from 'tap';
import type { SecretStore, StoredSecret } from '../../src/kubernetes/secrets.ts';
import { keepTokens } from '../../src/webhook/keep-tokens.ts';
import { readTokens, tokensIn, writeTokens } from '../../src/webhook/tokens.ts';
import type { FakeClock } from '../support/fake-clock.ts';
import { testLog } from '../support/log.ts';
import { sleeper } from '../support/sleeper.ts';

const DAY = 86_400_000;
const MINUTE = 60_000;
const PERIOD = 30 * DAY;
const TROUBLE = 'the path of the webhook cannot be looked after';

type Data = Readonly<Record<string, string>>;

/** One Secret, for whoever shares it. */
function memoryStore(data?: Data) {
  let version = 1;
  let stored: StoredSecret | undefined = data && secret(data);
  const faults: (() => void)[] = [];
  const asked: string[] = [];

  function secret(data: Data): StoredSecret {
    version += 1;
    return { metadata: { name: 'lockkeeper-ca', resourceVersion: String(version) }, data };
  }
  async function answer(request: string): Promise<void> {
    asked.push(request);
    faults.shift()?.();
  }
  const store: SecretStore = {
    namespace: 'lockkeeper',
    name: 'lockkeeper-ca',
    async read() {
      await answer('read');
      return stored;
    },
    async create(data) {
      await answer('create');
      if (stored) return false;
      stored = secret(data);
      return true;
    },
    async replace({ metadata }, data) {
      await answer('replace');
      if (metadata.resourceVersion !== stored?.metadata.resourceVersion) return false;
      stored = secret(data);
      return true;
    },
  };
  return {
    store,
    data: () => stored?.data ?? {},
    put: (data: Data | undefined) => {
      stored = data && secret(data);
    },
    /** The next request fails so, or finds this done meanwhile. */
    next: (...what: (() => void)[]) => faults.push(...what),
    asked: () => asked.splice(0),
  };
}

type Store = ReturnType<typeof memoryStore>;

let made = 0;

/** One replica, which has looked. */
async function start(t: Test, { store }: Store, shared?: FakeClock) {
  const { clock, asleep } = sleeper(shared);
  const logs = testLog();
  let publishedMs: number | undefined;
  let told = 0;
  const sleeping = asleep();
  const keeper = keepTokens({
    store,
    makeToken: () => {
      made += 1;
      return `token${made}`.padEnd(32, 'x');
    },
    periodMs: PERIOD,
    publishedMs: () => publishedMs,
    onTokens: () => {
      told += 1;
    },
    clock,
    random: () => 1,
    log: logs.log,
  });
  t.teardown(() => keeper.stop());
  await sleeping;
  return {
    ...keeper,
    clock,
    logs,
    told: () => told,
    /** API servers have been told of the current one for so long. */
    publish: (ms: number | undefined) => {
      publishedMs = ms;
    },
    async woken(): Promise<void> {
      const sleeping = asleep();
      keeper.wake();
      await sleeping;
    },
    async pass(ms: number): Promise<void> {
      const sleeping = asleep();
      clock.advance(ms);
      await sleeping;
    },
    all: () => {
      const tokens = keeper.tokens();
      return tokens ? tokensIn(tokens) : [];
    },
  };
}

for (const [given, data] of [
  ['no Secret', undefined],
  ['an empty one', {}],
  ['the authority of 0.1', { 'tls.crt': 'QQ==', 'tls.key': 'QQ==' }],
] as const) {
  t.test(`given ${given}, a token is made and stored, beside what is there`, async (t) => {
    const store = memoryStore(data);
    const replica = await start(t, store);
    t.strictSame(store.asked(), ['read', data ? 'replace' : 'create', 'read']);
    t.match(store.data(), data ?? {});
    t.strictSame(readTokens(store.data()), replica.tokens());
    t.match(replica.tokens(), { current: /^token\d+x+$/, previous: [], madeAt: replica.clock.date() });
    t.equal(replica.told(), 1);
    t.equal(replica.problem(), undefined);
    t.strictSame(replica.logs.messages(), ['made a secret path for the webhook']);
    t.notMatch(replica.logs.text(), replica.tokens()?.current, 'it is told to nobody');
  });
}

t.test('given one that is stored, it is used, and nothing is written', async (t) => {
  const store = memoryStore();
  const first = await start(t, store);
  store.asked();
  const second = await start(t, store);
  t.strictSame(store.asked(), ['read']);
  t.strictSame(second.tokens(), first.tokens());
});

t.test('two replicas that start at once agree', async (t) => {
  for (const data of [undefined, {}]) {
    const store = memoryStore(data);
    const [first, second] = await Promise.all([start(t, store), start(t, store)]);
    t.ok(first.tokens());
    t.strictSame(first.tokens(), second.tokens());
    t.equal(store.asked().filter((request) => request !== 'read').length, 2, 'both have tried');
  }
});

t.test(
  'after its time a token is replaced, and each is taken from before it is told until after',
  async (t) => {
    const store = memoryStore();
    const replica = await start(t, store);
    const [old] = replica.all();
    // It wakes up now and then.
    for (let passed = 0; passed < PERIOD; passed += 600_000) await replica.pass(600_000);
    const [current, next] = replica.all();
    t.equal(current, old, 'API servers are told of the old one');
    t.not(next, undefined, 'and replicas of the next one');
    t.equal(replica.told(), 2);
    replica.clock.advance(MINUTE - 1);
    t.strictSame(replica.all(), [old, next]);
    await replica.pass(1);
    t.strictSame(replica.all(), [next, old], 'a minute later it is told');
    await replica.pass(10 * MINUTE);
    t.strictSame(replica.all(), [next, old], 'nobody was told yet');
    replica.publish(0);
    await replica.woken();
    t.strictSame(replica.all(), [next, old], 'just now');
    replica.publish(MINUTE);
    await replica.pass(MINUTE);
    t.strictSame(replica.all(), [next], 'and a minute later the old one is closed');
    t.strictSame(replica.logs.messages(), [
      'made a secret path for the webhook',
      'made the next path of the webhook, which API servers are told of when all replicas know it',
      'API servers are told of the next path of the webhook',
      'the previous path of the webhook is closed',
    ]);
  },
);

t.test('a replica that has just heard of the next one does not have it told at once', async (t) => {
  const store = memoryStore();
  const first = await start(t, store);
  const { current } = first.tokens() ?? { current: '' };
  const next = 'next'.padEnd(32, '0');
  store.put(writeTokens({ current, next, previous: [], madeAt: 0 }));
  const second = await start(t, store);
  t.strictSame(second.all(), [current, next]);
  second.clock.advance(MINUTE - 1);
  t.strictSame(second.all(), [current, next]);
});

t.test(
  'emptied by hand, it is rotated at once, and the old one is taken for the time of the overlap',
  async (t) => {
    for (const emptied of [{ 'path.token': '' }, {}]) {
      const store = memoryStore();
      const replica = await start(t, store);
      const [old] = replica.all();
      store.put(emptied);
      await replica.woken();
      const [current, next] = replica.all();
      t.equal(current, old, 'which API servers still send');
      t.not(next, old);
      t.strictSame(tokensIn(readTokens(store.data()) as never), [current, next]);
      await replica.pass(MINUTE);
      t.strictSame(replica.all(), [next, old]);
    }
  },
);

t.test('a Secret that is gone is not made again', async (t) => {
  const store = memoryStore();
  const replica = await start(t, store);
  const before = replica.tokens();
  store.put(undefined);
  store.asked();
  await replica.woken();
  t.strictSame(store.asked(), ['read'], 'it may be that Lockkeeper is being uninstalled');
  t.strictSame(replica.tokens(), before);
  const reason =
    'Secret lockkeeper/lockkeeper-ca is gone; it is made anew when lockkeeper starts the next time';
  t.equal(replica.problem(), reason);
  t.match(replica.logs.lines.at(-1), { msg: TROUBLE, reason });
});

t.test('what cannot be made is told with the command that helps, and once', async (t) => {
  const store = memoryStore();
  const refuse = () => {
    throw new Error('403');
  };
  store.next(
    () => {},
    refuse,
    () => {},
    refuse,
  );
  const replica = await start(t, store);
  t.equal(
    replica.problem(),
    'there is no Secret lockkeeper/lockkeeper-ca, and lockkeeper cannot make it: kubectl create secret generic lockkeeper-ca -n lockkeeper (403)',
  );
  await replica.pass(30_000);
  t.strictSame(replica.logs.messages(), [TROUBLE]);
  await replica.pass(30_000);
  t.equal(replica.problem(), undefined);
  t.ok(replica.tokens());
});

t.test('somebody else writes each time: it takes a breath', async (t) => {
  const store = memoryStore({});
  const meddle = () => store.put({});
  store.next(...Array.from({ length: 5 }, () => [() => {}, meddle]).flat());
  const replica = await start(t, store);
  t.equal(
    replica.problem(),
    'Secret lockkeeper/lockkeeper-ca was changed by others each time it was to be written',
  );
  await replica.pass(30_000);
  t.ok(replica.tokens());
});

t.test('a look learns what another replica has written, and writes nothing', async (t) => {
  const store = memoryStore();
  const replica = await start(t, store);
  const before = replica.tokens();
  const next = 'next'.padEnd(32, '0');
  store.put(writeTokens({ current: next, previous: [], madeAt: 0 }));
  store.asked();
  await replica.look(AbortSignal.timeout(1_000));
  t.strictSame(replica.all(), [next]);
  t.equal(replica.told(), 2);
  store.put({});
  await replica.look(AbortSignal.timeout(1_000));
  t.strictSame(store.asked(), ['read', 'read']);
  t.strictSame(replica.all(), [next], 'what is known is not forgotten');
  t.not(before, undefined);
});

t.test('stopped, it asks nothing any more', async (t) => {
  const store = memoryStore();
  const replica = await start(t, store);
  await replica.stop();
  store.asked();
  replica.wake();
  replica.clock.advance(PERIOD);
  t.strictSame(store.asked(), []);
});

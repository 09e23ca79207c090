/** An authority that replicas share through a Secret, and a certificate for each: how they come and go in a good life. */
import { X509Certificate } from 'node:crypto';
import { KubeConfig } from '@kubernetes/client-node';
import t from 'tap';
import { systemClock } from '../../src/clock.ts';
import { connect } from '../../src/kubernetes/connection.ts';
import { createRequests } from '../../src/kubernetes/requests.ts';
import { createSecretStore } from '../../src/kubernetes/secrets.ts';
import { writeData } from '../../src/tls/authority-data.ts';
import { validityOf } from '../../src/tls/certificate.ts';
import { issueAuthority, type KeyPair } from '../../src/tls/issue.ts';
import { selfManaged } from '../../src/tls/self-managed.ts';
import { startEmbeddedCluster } from '../clusters/embedded/cluster.ts';
import { fakeClock } from '../support/fake-clock.ts';
import { testLog } from '../support/log.ts';
import { foreignAuthority } from './foreign.ts';
import { certificatesIn, DAY_SECONDS, isTrusted, keysOf, memoryStore, startReplica } from './replica.ts';
import { serve } from './serve.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

const now = () => new Date(fakeClock().date());

function latest({ served }: { readonly served: readonly KeyPair[] }): KeyPair {
  const pair = served.at(-1);
  if (!pair) throw new Error('nothing is served');
  return pair;
}

for (const [given, stored] of [
  ['no Secret', undefined],
  ['an empty Secret, as the chart makes it', {}],
  ['a Secret without data', { data: {} }],
] as const) {
  t.test(`given ${given}, an authority is made, stored, and signs`, async (t) => {
    const store = memoryStore(stored);
    const clock = fakeClock(Date.now());
    const replica = await startReplica(t, { store, clock });
    t.equal(replica.problem(), undefined);
    t.strictSame(
      store.asked(),
      ['read', stored ? 'replace' : 'create', 'read'],
      'what is stored is read again',
    );
    t.equal(replica.served.length, 1);
    t.equal(replica.bundles(), 1);
    const pair = latest(replica);
    const bundle = replica.bundle() ?? '';
    t.ok(isTrusted(pair.certificate, bundle));
    const call = await serve(t, pair);
    t.equal(
      await call({ ca: bundle, servername: 'lockkeeper.lockkeeper.svc' }),
      'served',
      'to an API server',
    );
    t.equal(await call({ ca: bundle }), 'served', 'by its IP address');
    const [authority] = certificatesIn(bundle);
    t.match(
      authority?.subject,
      /CN=20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ lockkeeper-ca$/,
      'no two bear the same name',
    );
    t.equal(authority?.validToDate.getTime(), replica.authorityExpiresAt());
    t.equal(Math.floor((clock.date() + 365 * DAY) / 1000) * 1000, replica.authorityExpiresAt());
    t.strictSame(replica.logs.messages(), ['made a new authority', 'serves a new certificate']);
    for (const key of keysOf(store, replica)) t.notMatch(replica.logs.text(), key, 'no key in the log');
    t.notMatch(replica.logs.text(), 'PRIVATE');
  });
}

t.test('given an authority that is stored, it signs, and nothing is written', async (t) => {
  const store = memoryStore();
  await startReplica(t, { store });
  const before = store.stored();
  store.asked();
  const second = await startReplica(t, { store });
  t.strictSame(store.asked(), ['read']);
  t.equal(store.stored(), before);
  t.ok(isTrusted(latest(second).certificate, second.bundle()));
});

t.test('given an authority of somebody else, it signs, whatever names it bears', async (t) => {
  const own = foreignAuthority({
    now: new Date(),
    validDays: 100,
    keyIdentifier: 'a1'.repeat(32),
    subject: [
      { name: 'countryName', value: 'DE' },
      { name: 'organizationName', value: 'Ganz & Gar', valueTagClass: 12 as never },
      { name: 'commonName', value: 'my own authority' },
    ],
  });
  const store = memoryStore({ data: writeData({ signing: own, previous: [] }) });
  const replica = await startReplica(t, { store, clock: fakeClock(Date.now()) });
  t.strictSame(store.asked(), ['read'], 'it is left as it is');
  const call = await serve(t, latest(replica));
  t.equal(await call({ ca: own.certificate, servername: 'lockkeeper.lockkeeper.svc' }), 'served');
  t.match(new X509Certificate(latest(replica).certificate).issuer, /CN=my own authority/);
});

t.test('two replicas that start at once on one empty Secret share one authority', async (t) => {
  for (const stored of [undefined, {}]) {
    const store = memoryStore(stored);
    // Both have read that there is none before either writes.
    const [first, second] = await Promise.all([startReplica(t, { store }), startReplica(t, { store })]);
    const writes = store.asked().filter((request) => request !== 'read');
    t.equal(writes.length, 2, 'both have tried');
    t.equal(first.bundle(), second.bundle(), 'and one was first');
    for (const { certificate } of [latest(first), latest(second)]) {
      t.ok(isTrusted(certificate, first.bundle()));
    }
    t.not(latest(first).certificate, latest(second).certificate, 'each has a certificate of its own');
    const made = [first, second].flatMap(({ logs }) => logs.messages()).filter((msg) => /^made/.test(msg));
    t.equal(made.length, 1);
  }
});

t.test('and so they do on a cluster', async (t) => {
  const cluster = await startEmbeddedCluster();
  t.teardown(() => cluster.stop());
  await (await cluster.client()).createNamespace('lockkeeper');
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromFile(await cluster.kubeconfig({ user: { username: 'lockkeeper' } }));
  const start = async () => {
    const connection = connect(kubeConfig, { clock: systemClock });
    const requests = createRequests({ connection, pool: 'errands' });
    const source = selfManaged({
      store: createSecretStore(requests, 'lockkeeper', 'lockkeeper-ca'),
      hosts: ['127.0.0.1'],
      certificateSeconds: DAY_SECONDS,
      authoritySeconds: 10 * DAY_SECONDS,
      publishedSince: () => undefined,
      onBundle: () => {},
      clock: systemClock,
      random: Math.random,
      log: testLog().log,
    });
    t.teardown(async () => {
      await source.stop();
      await connection.close();
    });
    const pair = await new Promise<KeyPair>((resolve) => source.start(resolve));
    return { pair, bundle: source.bundle() };
  };
  const [first, second, third] = await Promise.all([start(), start(), start()]);
  t.equal(certificatesIn(first?.bundle).length, 1);
  for (const { pair, bundle } of [first, second, third]) {
    t.equal(bundle, first.bundle);
    const call = await serve(t, pair);
    t.equal(await call({ ca: first.bundle ?? '' }), 'served');
  }
});

t.test('a certificate is renewed at two thirds of its life, by the same authority', async (t) => {
  const store = memoryStore();
  const replica = await startReplica(t, { store, certificateSeconds: 30 * DAY_SECONDS });
  const { from, to } = validityOf(latest(replica).certificate);
  const renewal = from + ((to - from) * 2) / 3;
  replica.clock.advance(renewal - replica.clock.date() - 1);
  await replica.woken();
  t.equal(replica.served.length, 1, 'not before');
  await replica.pass(1);
  t.equal(replica.served.length, 2);
  t.equal(
    validityOf(latest(replica).certificate).to,
    Math.floor((replica.clock.date() + 30 * DAY) / 1000) * 1000,
  );
  t.equal(replica.bundles(), 1, 'nobody else has to know');
  t.ok(isTrusted(latest(replica).certificate, replica.bundle()));
});

t.test('it wakes up by itself when the renewal is due, although that is soon', async (t) => {
  const replica = await startReplica(t, { store: memoryStore(), certificateSeconds: 60 });
  // 60 s, and backdated by a tenth of that: 44 s after 6 s ago.
  await replica.pass(38_000);
  t.equal(replica.served.length, 2);
});

t.test('a certificate never outlives its authority', async (t) => {
  const signing = await issueAuthority({ commonName: 'short', validDays: 2, now: now() });
  const store = memoryStore({ data: writeData({ signing, previous: [] }) });
  const replica = await startReplica(t, { store, certificateSeconds: 30 * DAY_SECONDS });
  t.equal(validityOf(latest(replica).certificate).to, validityOf(signing.certificate).to);
});

t.test('an authority is followed by the next one, which is known before it signs', async (t) => {
  const store = memoryStore();
  const replica = await startReplica(t, { store, isPublished: true, certificateSeconds: 400 * DAY_SECONDS });
  const first = replica.bundle() ?? '';
  const { from, to } = validityOf(first);
  await replica.pass(from + ((to - from) * 2) / 3 - replica.clock.date() + 1);
  const both = replica.bundle() ?? '';
  t.ok(both.startsWith(first) && certificatesIn(both).length === 2, 'the next one is made known');
  t.ok(isTrusted(latest(replica).certificate, first), 'while the first one signs');

  replica.clock.advance(59_000);
  await replica.woken();
  t.equal(replica.bundle(), both);
  await replica.pass(1_000);
  const [next, previous] = certificatesIn(replica.bundle());
  t.strictSame([previous, next].map(String), certificatesIn(both).map(String), 'a minute later it signs');
  t.ok(next && isTrusted(latest(replica).certificate, next.toString()));
  t.equal(replica.authorityExpiresAt(), next?.validToDate.getTime());

  await replica.pass(to - replica.clock.date());
  t.equal(replica.bundle(), next?.toString(), 'the first one is left out when it has expired');
  t.strictSame(
    replica.logs.messages().filter((msg) => msg !== 'serves a new certificate'),
    [
      'made a new authority',
      'made the next authority, which signs when it is known',
      'the next authority signs from now on',
      'left out what has expired',
    ],
  );
  for (const key of keysOf(store, replica)) t.notMatch(replica.logs.text(), key, 'no key in the log');
});

t.test('nobody tells that the next one is known: it signs at five sixths', async (t) => {
  const replica = await startReplica(t, { store: memoryStore() });
  const { from, to } = validityOf(replica.bundle() ?? '');
  const at = (share: number) => from + (to - from) * share - replica.clock.date();
  await replica.pass(at(2 / 3) + 1);
  await replica.pass(at(5 / 6) - 1);
  const both = replica.bundle() ?? '';
  t.equal(certificatesIn(both).length, 2);
  t.ok(isTrusted(latest(replica).certificate, certificatesIn(both)[0]?.toString()));
  await replica.pass(1);
  t.ok(isTrusted(latest(replica).certificate, certificatesIn(both)[1]?.toString()));
});

t.test('all replicas were away until the authority had expired: another one takes its place', async (t) => {
  const signing = await issueAuthority({
    commonName: 'old',
    validDays: 1,
    now: new Date(now().getTime() - 3 * DAY),
  });
  const store = memoryStore({ data: writeData({ signing, previous: [] }) });
  const replica = await startReplica(t, { store });
  t.equal(replica.problem(), undefined);
  t.ok(isTrusted(latest(replica).certificate, replica.bundle()));
  t.equal(certificatesIn(replica.bundle()).length, 1, 'the old one is forgotten');
  t.ok(replica.logs.messages().includes('the authority has expired, a new one signs from now on'));
});

t.test('what another replica has written is learnt when it is woken', async (t) => {
  const store = memoryStore();
  const clock = fakeClock();
  const first = await startReplica(t, { store, clock });
  const signing = await issueAuthority({ commonName: 'other', validDays: 100, now: now() });
  store.put(writeData({ signing, previous: certificatesIn(first.bundle()).map(String) }));
  await first.woken();
  t.equal(first.bundles(), 2);
  t.ok(isTrusted(latest(first).certificate, signing.certificate), 'it signs anew at once');
  await first.woken();
  t.equal(first.served.length, 2, 'once');
  t.equal(first.bundles(), 2);
});

t.test('two replicas replace an authority together, and nobody serves what is not trusted', async (t) => {
  const store = memoryStore();
  const clock = fakeClock();
  const replicas = [
    await startReplica(t, { store, clock, isPublished: true, certificateSeconds: 180 * DAY_SECONDS }),
    await startReplica(t, { store, clock, isPublished: true, certificateSeconds: 180 * DAY_SECONDS }),
  ];
  for (let day = 0; day < 400; day += 10) {
    const sleeping = replicas.map(({ asleep }) => asleep());
    clock.advance(10 * DAY);
    await Promise.all(sleeping);
    for (const { served, bundle } of replicas) {
      const { certificate } = latest({ served });
      if (!isTrusted(certificate, bundle())) t.fail(`on day ${day}`);
      if (validityOf(certificate).to <= clock.date()) t.fail(`on day ${day}`);
    }
  }
  await Promise.all(replicas.map(({ woken }) => woken()));
  t.equal(replicas[0]?.bundle(), replicas[1]?.bundle());
  const made = replicas.flatMap(({ logs }) => logs.messages()).filter((msg) => /^made/.test(msg));
  t.equal(made.length, 2, 'one at the start and one after two thirds of a year');
});

t.test('two years cost a read every ten minutes, and a certificate every four months', async (t) => {
  const store = memoryStore();
  const replica = await startReplica(t, { store, isPublished: true, certificateSeconds: 180 * DAY_SECONDS });
  store.asked();
  let looks = 0;
  for (; looks < 730; looks += 1) {
    await replica.pass(DAY);
    if (validityOf(latest(replica).certificate).to <= replica.clock.date()) t.fail(`on day ${looks}`);
  }
  const asked = store.asked();
  const writes = asked.filter((request) => request !== 'read').length;
  t.equal(asked.length, looks + 2 * writes, 'one read each time that it wakes up, and one after each write');
  t.ok(writes >= 6 && writes <= 12, `${writes} writes: introduced, promoted, forgotten`);
  t.ok(replica.served.length >= 6 && replica.served.length <= 10, `${replica.served.length} certificates`);
  t.strictSame(replica.warnings(), []);
  t.equal(replica.clock.timers(), 1);
});

t.test('stopped, it serves nothing else, and asks nothing', async (t) => {
  const store = memoryStore();
  const replica = await startReplica(t, { store });
  await replica.stop();
  store.asked();
  replica.wake();
  replica.clock.advance(400 * DAY);
  t.strictSame(store.asked(), []);
  t.equal(replica.served.length, 1);
  t.equal(replica.clock.timers(), 0);
});

t.test('before it starts, there is nothing', async (t) => {
  const source = selfManaged({
    store: memoryStore(),
    hosts: ['127.0.0.1'],
    certificateSeconds: 60,
    authoritySeconds: 600,
    publishedSince: () => undefined,
    onBundle: () => {},
    clock: fakeClock(),
    random: () => 0,
    log: testLog().log,
  });
  t.equal(source.bundle(), undefined);
  t.equal(source.authorityExpiresAt(), undefined);
  t.equal(source.problem(), 'Secret lockkeeper/lockkeeper-ca has not been read yet');
  source.wake();
  await source.stop();
});

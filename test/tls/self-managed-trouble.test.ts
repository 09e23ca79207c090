/** What goes wrong with the Secret: it is told in words, nothing of a person's is lost, and what is known goes on. */
import t from 'tap';
import { type SecretData, writeData } from '../../src/tls/authority-data.ts';
import { validityOf } from '../../src/tls/certificate.ts';
import { issueAuthority, issueServingCertificate } from '../../src/tls/issue.ts';
import { fakeClock } from '../support/fake-clock.ts';
import { ellipticAuthority } from './foreign.ts';
import { certificatesIn, DAY_SECONDS, isTrusted, keysOf, memoryStore, startReplica } from './replica.ts';

const DAY = 86_400_000;
const SECRET = 'Secret lockkeeper/lockkeeper-ca';

const now = new Date(fakeClock().date());
const today = { validDays: 1, now };
const [one, other] = await Promise.all([
  issueAuthority({ commonName: 'one', ...today }),
  issueAuthority({ commonName: 'other', ...today }),
]);
const year = await issueAuthority({ commonName: 'year', validDays: 365, now });
const leaf = await issueServingCertificate(one, { hosts: ['a.example'], ...today });
const elliptic = ellipticAuthority(today);

const base64 = (text: string) => Buffer.from(text).toString('base64');

const UNUSABLE: readonly [given: string, data: SecretData, problem: string][] = [
  ['garbage', { 'tls.crt': base64('garbage'), 'tls.key': base64('x') }, 'tls.crt holds no PEM certificate'],
  [
    'the key of another certificate',
    { 'tls.crt': base64(one.certificate), 'tls.key': base64(other.privateKey) },
    'tls.key is not the key of the first certificate in tls.crt',
  ],
  [
    'no authority',
    { 'tls.crt': base64(leaf.certificate), 'tls.key': base64(leaf.privateKey) },
    'tls.crt is no authority, which may sign others',
  ],
  [
    'an elliptic curve',
    { 'tls.crt': base64(elliptic.certificate), 'tls.key': base64(elliptic.privateKey) },
    'tls.key is no RSA key',
  ],
];

const EMPTY_IT = `kubectl patch secret lockkeeper-ca -n lockkeeper -p '{"data":{"tls.crt":"","tls.key":""}}'`;

for (const [given, data, reason] of UNUSABLE) {
  const problem = `${SECRET}: ${reason}. Mend it, or empty it, and lockkeeper makes a new one: ${EMPTY_IT}`;

  t.test(`given a Secret that holds ${given}, it is left as it is, and a person is told`, async (t) => {
    const store = memoryStore({ data });
    const replica = await startReplica(t, { store });
    for (let looks = 0; looks < 5; looks += 1) await replica.pass(30_000);
    t.strictSame(store.asked(), Array(6).fill('read'), 'ever more rarely');
    t.strictSame(store.stored(), { data });
    t.equal(replica.problem(), problem);
    t.strictSame(replica.warnings(), [problem], 'once');
    t.strictSame(replica.served, []);
    t.equal(replica.bundle(), undefined);
    for (const { privateKey } of [one, other, leaf, elliptic])
      t.notMatch(replica.logs.text(), privateKey.split('\n')[2] ?? privateKey, 'no key in the log');

    store.put(undefined);
    await replica.woken();
    t.equal(replica.problem(), undefined, 'emptied, as it was told');
    t.equal(replica.served.length, 1);
  });

  t.test(`given a Secret that comes to hold ${given}, the authority that was known goes on`, async (t) => {
    const store = memoryStore({ data: writeData({ signing: year, previous: [] }) });
    const replica = await startReplica(t, { store });
    const bundle = replica.bundle();
    store.put(data);
    await replica.woken();
    t.equal(replica.problem(), problem);
    await replica.pass(21 * DAY);
    t.equal(replica.served.length, 2, 'the certificate is renewed meanwhile');
    t.ok(isTrusted(replica.served[1]?.certificate ?? '', bundle));
    t.equal(replica.bundle(), bundle);
    t.strictSame(replica.warnings(), [problem]);
    t.strictSame(store.stored(), { data });
  });
}

t.test('given no Secret and no right to make one, a person is told the command', async (t) => {
  const store = memoryStore();
  store.before((request) => {
    if (request === 'create') throw new Error('POST /api/v1/namespaces/lockkeeper/secrets: 403 forbidden');
  });
  const replica = await startReplica(t, { store });
  const problem =
    `there is no ${SECRET}, and lockkeeper cannot make it: ` +
    'kubectl create secret generic lockkeeper-ca -n lockkeeper ' +
    '(POST /api/v1/namespaces/lockkeeper/secrets: 403 forbidden)';
  t.equal(replica.problem(), problem);
  for (let looks = 0; looks < 3; looks += 1) await replica.pass(30_000);
  t.strictSame(replica.warnings(), [problem]);
  t.strictSame(replica.served, []);

  store.put(undefined);
  await replica.pass(30_000);
  t.equal(replica.problem(), undefined, 'somebody has run it');
  t.equal(replica.served.length, 1);
});

t.test('given the Secret is out of reach, what was known goes on, and is renewed', async (t) => {
  const store = memoryStore();
  const replica = await startReplica(t, { store, certificateSeconds: 90 * DAY_SECONDS });
  const bundle = replica.bundle() ?? '';
  store.before(() => {
    throw new Error('ECONNREFUSED');
  });
  await replica.woken();
  t.equal(replica.problem(), 'ECONNREFUSED');
  for (let day = 0; day < 300; day += 1) {
    await replica.pass(DAY);
    if (validityOf(replica.served.at(-1)?.certificate ?? '').to <= replica.clock.date())
      t.fail(`on day ${day}`);
  }
  t.strictSame(replica.warnings(), ['ECONNREFUSED'], 'told once');
  t.ok(replica.served.length > 4);
  t.ok(isTrusted(replica.served.at(-1)?.certificate ?? '', bundle));

  // Until the authority itself has expired: there is nothing left to sign with.
  const expiry = replica.authorityExpiresAt() ?? 0;
  await replica.pass(expiry - replica.clock.date());
  const last = replica.served.length;
  await replica.pass(DAY);
  t.equal(replica.served.length, last);
  store.before(() => {});
  await replica.pass(30_000);
  t.equal(replica.served.length, last + 1, 'back in reach, another one takes its place');
  t.equal(replica.problem(), undefined);
});

t.test('given an authority that is stored, and the next one cannot be written, it still signs', async (t) => {
  const store = memoryStore({ data: writeData({ signing: one, previous: [] }) });
  store.before((request) => {
    if (request === 'replace') throw new Error('PUT: 403 forbidden');
  });
  const replica = await startReplica(t, { store, clock: fakeClock(now.getTime() + 0.8 * DAY) });
  t.equal(replica.problem(), 'PUT: 403 forbidden');
  t.equal(replica.served.length, 1, 'a new pod comes up although the Secret cannot be written');
  t.ok(isTrusted(replica.served[0]?.certificate ?? '', one.certificate));
  t.equal(certificatesIn(replica.bundle()).length, 1);
});

t.test('given others are first each time, it takes a breath', async (t) => {
  const store = memoryStore({});
  store.before((request) => {
    if (request === 'replace') store.put(undefined);
  });
  const replica = await startReplica(t, { store });
  t.equal(replica.problem(), `${SECRET} was changed by others each time it was to be written`);
  t.equal(store.asked().length, 10, 'five times read, five times lost');
  store.before(() => {});
  await replica.pass(200);
  t.equal(replica.problem(), undefined);
});

t.test('given the Secret is emptied, the authority is put back, with a successor', async (t) => {
  const store = memoryStore();
  const replica = await startReplica(t, { store, isPublished: true, certificateSeconds: 400 * DAY_SECONDS });
  const first = replica.bundle() ?? '';
  store.put(undefined);
  await replica.woken();
  const both = replica.bundle() ?? '';
  t.ok(both.startsWith(first) && certificatesIn(both).length === 2);
  t.equal(replica.served.length, 1, 'nobody has to trust anybody new at once');
  await replica.pass(60_000);
  t.ok(
    isTrusted(replica.served[1]?.certificate ?? '', certificatesIn(both)[1]?.toString()),
    'a minute later',
  );
  t.equal(certificatesIn(replica.bundle()).length, 2, 'and the old one is trusted until it expires');
  t.strictSame(replica.warnings(), []);
});

t.test(
  'given others keep something in the Secret, it stays, however often the authority changes',
  async (t) => {
    const store = memoryStore({ data: { 'path.token': 'QQ==' } });
    const replica = await startReplica(t, { store });
    t.match(store.stored(), { data: { 'path.token': 'QQ==', 'tls.crt': String } });
    const { data } = store.stored() ?? {};
    store.put({ ...data, 'tls.crt': '', 'tls.key': '' });
    await replica.woken();
    t.match(store.stored(), { data: { 'path.token': 'QQ==', 'next.crt': String } });
  },
);

t.test('given the Secret is deleted, it is not made anew: that is left to the next start', async (t) => {
  const store = memoryStore();
  const replica = await startReplica(t, { store });
  const bundle = replica.bundle();
  store.remove();
  store.asked();
  await replica.woken();
  const problem = `${SECRET} is gone; it is made anew when lockkeeper starts the next time`;
  t.equal(replica.problem(), problem);
  for (let looks = 0; looks < 5; looks += 1) await replica.pass(10 * DAY);
  t.strictSame(store.asked(), Array(6).fill('read'), 'an uninstall would leave it behind');
  t.strictSame(replica.warnings(), [problem], 'told once');
  t.ok(replica.served.length > 2, 'the certificate is renewed meanwhile');
  t.equal(replica.bundle(), bundle);

  const next = await startReplica(t, { store, clock: replica.clock });
  t.equal(next.problem(), undefined);
  await replica.woken();
  t.equal(replica.problem(), undefined);
  t.equal(replica.bundle(), next.bundle(), 'and is taken over by those that run');
  for (const key of keysOf(store, replica, next)) {
    t.notMatch(replica.logs.text() + next.logs.text(), key, 'no key in the log');
  }
});

t.test('given a certificate that cannot be signed, it is told once', async (t) => {
  const replica = await startReplica(t, { store: memoryStore(), hosts: [] });
  for (let looks = 0; looks < 5; looks += 1) await replica.pass(30_000);
  const problem = 'a serving certificate needs at least one host';
  t.strictSame(replica.warnings(), [problem]);
  t.equal(replica.problem(), problem);
  t.strictSame(replica.served, []);
});

/** The time by the API server's clock, and connections that are let go. */
import { KubeConfig } from '@kubernetes/client-node';
import t, { type Test } from 'tap';
import { connect } from '../../src/kubernetes/connection.ts';
import { createRequests } from '../../src/kubernetes/requests.ts';
import { failure, MINUTE, never, startMeddling } from '../support/clearing.ts';
import { fakeClock } from '../support/fake-clock.ts';

function disconnected(
  t: Test,
  clock: { now: () => number; date: () => number },
  login: () => object = () => ({}),
) {
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromOptions({
    clusters: [{ name: 'c', server: 'https://127.0.0.1:1' }],
    users: [{ name: 'u' }],
    contexts: [{ name: 'c', cluster: 'c', user: 'u' }],
    currentContext: 'c',
  });
  kubeConfig.applyToHTTPSOptions = async (options) => {
    Object.assign(options, login());
  };
  const connection = connect(kubeConfig, { clock });
  t.teardown(() => connection.close());
  return connection;
}

t.test('the time is that of this machine until the API server was heard', async (t) => {
  const clock = fakeClock();
  const wall = clock.date();
  const { date, sawDate } = disconnected(t, { now: () => clock.now() - wall, date: clock.date });
  t.equal(date(), wall);
  clock.advance(MINUTE);
  t.equal(date(), wall + MINUTE, 'and goes on');

  sawDate('Sun, 22 Nov 2026 18:00:00 GMT');
  t.equal(date(), Date.parse('2026-11-22T18:00:00Z'), 'then it is the one that was heard');
  clock.advance(90_000);
  t.equal(date(), Date.parse('2026-11-22T18:01:30Z'), 'and goes on');

  for (const nonsense of ['undefined', '', 'yesterday']) {
    sawDate(nonsense);
    t.equal(date(), Date.parse('2026-11-22T18:01:30Z'), `what is no date is not heard: ${nonsense}`);
  }
  sawDate('Sun, 22 Nov 2026 17:00:00 GMT');
  t.equal(date(), Date.parse('2026-11-22T17:00:00Z'), 'it may go back');
});

t.test('this machine may set its clock: ages do not care once the API server was heard', async (t) => {
  let wall = Date.parse('2026-11-22T13:00:00Z');
  const { date, sawDate } = disconnected(t, { now: () => 5, date: () => wall });
  sawDate('Sun, 22 Nov 2026 18:00:00 GMT');
  wall += 60 * MINUTE;
  t.equal(date(), Date.parse('2026-11-22T18:00:00Z'));
});

t.test(
  'every answer tells the time: of a read, a write, and the beginning of a watch; but no refusal, whoever sent it',
  async (t) => {
    const { cluster, connection } = await startMeddling(t);
    const { read, write, open } = createRequests({ connection, pool: 'errands' });
    const secrets = '/api/v1/namespaces/prod/secrets';
    const leaving = new AbortController();
    for (const [name, request] of [
      ['a read', () => read(secrets, { accept: 'application/json' }, never)],
      ['a write', () => write('POST', secrets, { metadata: { name: 'one' } }, never)],
      ['a watch', () => open(`${secrets}?watch=1`, 'application/json', leaving.signal)],
    ] as const) {
      cluster.clock.advance(60 * MINUTE);
      const behind = () => cluster.clock.now() - connection.date();
      t.ok(behind() > 59 * MINUTE, 'an hour has passed in the cluster');
      const answer = await request();
      t.ok(Math.abs(behind()) < MINUTE / 2, `${name} tells`);
      if (name === 'a watch') (answer as Awaited<ReturnType<typeof open>>).on('error', () => {});
    }
    cluster.clock.advance(60 * MINUTE);
    const before = connection.date();
    await failure(read(`${secrets}/nothing`, { accept: 'application/json' }, never));
    t.ok(connection.date() - before < MINUTE / 2, 'a refusal does not');
    leaving.abort();
  },
);

t.test(
  'new credentials with an old certificate keep the errands’ connections; a new one lets them go',
  async (t) => {
    const clock = fakeClock();
    let cert = 'first';
    const connection = disconnected(t, clock, () => ({ cert }));
    const first = await connection.access(never);
    clock.advance(10_001);
    const second = await connection.access(never);
    t.equal(second.errands, first.errands);
    cert = 'second';
    clock.advance(10_001);
    const third = await connection.access(never);
    t.not(third.errands, first.errands);
    const late = { origin: connection.server, path: '/', method: 'GET' } as const;
    for (const pool of ['requests', 'errands'] as const) {
      t.match(
        await failure(first[pool].request(late)),
        { code: /^UND_ERR_(CLOSED|DESTROYED)$/ },
        `${pool}: the old ones end`,
      );
    }
    await connection.close();
    for (const pool of ['requests', 'errands', 'watches'] as const) {
      t.match(await failure(third[pool].request(late)), { code: 'UND_ERR_DESTROYED' }, `${pool}: all end`);
    }
  },
);

t.test(
  'the clock that is furthest behind is that of this machine, or of an answer of the last minutes',
  async (t) => {
    const clock = fakeClock();
    const start = clock.date();
    const { earliestDate, sawDate } = disconnected(t, clock);
    const behind = () => clock.date() - earliestDate();
    const hear = (offset: number) => sawDate(new Date(clock.now() + offset).toUTCString());
    t.equal(behind(), 0, 'nobody was heard');
    hear(1_200_000);
    t.equal(behind(), 0, 'a server is ahead');
    hear(-20_000);
    hear(20_000);
    sawDate('no date');
    t.equal(behind(), 20_000, 'one is behind');
    clock.advance(300_000);
    hear(0);
    t.equal(behind(), 20_000, 'it was five minutes ago');
    clock.advance(300_000);
    hear(60_000);
    t.equal(behind(), 0, 'it was ten minutes ago');
    hear(-5_000);
    clock.advance(600_000);
    t.equal(behind(), 0, 'nobody was heard for long');
    t.equal(clock.date() - start, 1_200_000);
  },
);

t.test('a connection that nobody used is closed without ado', async (t) => {
  await disconnected(t, fakeClock()).close();
});

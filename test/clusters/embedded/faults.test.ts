/** What a test may do to the cluster, and what it may ask about its clients. */
import { access } from 'node:fs/promises';
import t from 'tap';
import { Agent } from 'undici';
import { fails, SECRETS, secret, startCluster } from './fixture.ts';

t.test('it goes away, and comes back with its state at the same address', async (t) => {
  const { cluster, admin } = await startCluster(t);
  await admin.create(SECRETS, secret('one'));
  const events = admin.watch(`${SECRETS}?watch=1`);
  await events.next();
  await cluster.faults.goAway();
  await t.rejects(events.next(), 'the watch is cut');
  await t.rejects(admin.list(SECRETS), { code: 'ECONNREFUSED' });
  await cluster.faults.comeBack();
  t.match(await admin.list(SECRETS), [{ metadata: { name: 'one' } }]);
});

t.test('watches are cut: they just end', async (t) => {
  const { cluster, admin } = await startCluster(t);
  await admin.create(SECRETS, secret('one'));
  const events = admin.watch(`${SECRETS}?watch=1`);
  await events.next();
  cluster.faults.cutWatches();
  t.match(await events.next(), { done: true });
  t.equal(cluster.openWatches(), 0);
});

t.test('watches fall silent: they stay open, and what happens meanwhile is lost to them', async (t) => {
  const { cluster, admin } = await startCluster(t, { bookmarkSeconds: 0.01 });
  await admin.create(SECRETS, secret('one'));
  const events = admin.watch(`${SECRETS}?watch=1&allowWatchBookmarks=true`);
  await events.next();
  cluster.faults.silenceWatches(true);
  await admin.create(SECRETS, secret('two'));
  cluster.faults.silenceWatches(false);
  await admin.create(SECRETS, secret('three'));
  for await (const { type, object } of events) {
    if (type === 'BOOKMARK') continue;
    t.equal(object.metadata.name, 'three');
    break;
  }
});

t.test('requests fail, wait and hang on demand', async (t) => {
  const { cluster, admin } = await startCluster(t);
  const { failRequests } = cluster.faults;

  await t.test('with a code', async (t) => {
    const end = failRequests(({ method, path }) =>
      method === 'GET' && path === SECRETS ? { status: 503, retryAfterSeconds: 2 } : undefined,
    );
    const { code, headers } = await admin.request('GET', SECRETS);
    t.match([code, headers['retry-after']], [503, '2']);
    await admin.create(SECRETS, secret('one'));
    end();
    await admin.list(SECRETS);
  });

  await t.test('after a while', async () => {
    const end = failRequests(() => ({ delay: 1 }));
    await admin.list(SECRETS);
    end();
    const endFailing = failRequests(() => ({ delay: 1, status: 500 }));
    await fails(t, admin.request('GET', SECRETS), {
      code: 500,
      reason: 'InternalError',
      message: /was told to fail with 500/,
    });
    endFailing();
  });

  await t.test('never, until the client leaves', async (t) => {
    const client = new AbortController();
    const end = failRequests(() => {
      setImmediate(() => client.abort());
      return { hang: true };
    });
    await t.rejects(admin.request('GET', SECRETS, undefined, { signal: client.signal }));
    end();
  });
});

t.test('a request is answered with nonsense, until the client leaves', async (t) => {
  const { cluster } = await startCluster(t);
  const { caCertificate, url } = cluster;
  const end = cluster.faults.failRequests(() => ({ babble: 'nonsense' }));
  const agent = new Agent({ connect: { ca: caCertificate } });
  t.teardown(() => agent.destroy());
  const { statusCode, body } = await agent.request({
    origin: url,
    path: `${SECRETS}?watch=1`,
    method: 'GET',
  });
  t.equal(statusCode, 200);
  let heard = '';
  for await (const chunk of body.setEncoding('utf8')) {
    heard += chunk;
    if (heard.length > 1_000_000) break;
  }
  t.match(heard, /^(nonsense)+(n|no|non|nons|nonse|nonsen|nonsens)?$/);
  end();
  const admin = await cluster.client();
  t.same(await admin.list(SECRETS), []);
});

t.test('a request is served and its answer is lost', async (t) => {
  const { cluster, admin } = await startCluster(t);
  const { failRequests } = cluster.faults;
  const LOST = { code: 'ECONNRESET' };

  await t.test('the write happens', async (t) => {
    const stored = cluster.waitForWrite(({ object }) => object.metadata.name === 'one');
    const end = failRequests(({ method }) => (method === 'POST' ? { loseAnswer: true } : undefined));
    await t.rejects(admin.create(SECRETS, secret('one')), LOST);
    t.match(await stored, { verb: 'ADDED' });
    end();
    t.match(await admin.get(`${SECRETS}/one`), { metadata: { name: 'one' } });
  });

  await t.test('only when it may', async (t) => {
    const held = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    const end = failRequests(({ method }) => {
      if (method !== 'POST') return undefined;
      asked.resolve();
      return { until: held.promise, delay: 1, loseAnswer: true };
    });
    const stored = cluster.waitForWrite(({ object }) => object.metadata.name === 'two');
    const lost = t.rejects(admin.create(SECRETS, secret('two')), LOST);
    await asked.promise;
    t.equal((await admin.request('GET', `${SECRETS}/two`)).code, 404, 'nothing is served yet');
    held.resolve();
    await Promise.all([lost, stored]);
    end();
  });

  await t.test('also a refusal, a stream, or what is no JSON', async (t) => {
    const end = failRequests(() => ({ loseAnswer: true }));
    for (const path of [`${SECRETS}/nothing`, `${SECRETS}?watch=1`, '/healthz']) {
      await t.rejects(admin.request('GET', path), LOST, path);
    }
    end();
    t.equal(cluster.openWatches(), 0);
    const endFailing = failRequests(() => ({ loseAnswer: true, status: 503 }));
    await t.rejects(admin.create(SECRETS, secret('three')), LOST, 'with a status nothing is served');
    endFailing();
    t.same(
      (await admin.list(SECRETS)).map(({ metadata: { name } }) => name),
      ['one', 'two'],
    );
  });
});

t.test('a defect is answered and reported, never a hang', async (t) => {
  const logged: string[] = [];
  const { admin } = await startCluster(t, {
    log: (message) => logged.push(message),
    authorize: () => {
      throw new Error('oops');
    },
  }).catch(async () => ({ admin: undefined }));
  t.equal(admin, undefined, 'not even the first namespace could be created');
  t.match(logged, [/a defect of the embedded cluster: Error: oops/]);
});

t.test('traffic is counted', async (t) => {
  const { cluster, admin } = await startCluster(t);
  cluster.traffic.reset();
  await admin.list(`${SECRETS}?limit=1`);
  await admin.create(SECRETS, secret('one'));
  await admin.get(`${SECRETS}/one`);
  await admin.get(`${SECRETS}/one`);
  await admin.request('PUT', '/apis/batch/v1/namespaces/prod/jobs/x/status', {});
  await admin.request('GET', '/version');
  const seen = cluster.traffic
    .requests()
    .map(({ count, verb, pattern, user, userAgent }) => [count, verb, pattern, user, userAgent]);
  const by = ['admin', 'lockkeeper-test/1'];
  t.same(seen, [
    [1, 'list', '/api/v1/namespaces/{namespace}/secrets', ...by],
    [1, 'create', '/api/v1/namespaces/{namespace}/secrets', ...by],
    [2, 'get', '/api/v1/namespaces/{namespace}/secrets/{name}', ...by],
    [1, 'update', '/apis/batch/v1/namespaces/{namespace}/jobs/{name}/status', ...by],
    [1, 'get', '/version', ...by],
  ]);
  t.equal(
    cluster.traffic.countRequests(({ verb }) => verb === 'get'),
    3,
  );
  t.equal(cluster.traffic.connectionsOpened().size, 0, 'the connection was opened before the reset');
  const other = await cluster.client();
  await other.list(SECRETS);
  await other.list(SECRETS);
  t.same([...cluster.traffic.connectionsOpened()], [['lockkeeper-test/1', 1]]);
});

t.test('waiting for a write', async (t) => {
  const { cluster, admin } = await startCluster(t);
  const seen: string[] = [];
  const off = cluster.onWrite(({ verb, object }) => seen.push(`${verb} ${object.metadata.name}`));
  const second = cluster.waitForWrite(({ object }) => object.metadata.name === 'two');
  for (const name of ['one', 'two']) await admin.create(SECRETS, secret(name));
  t.match(await second, { verb: 'ADDED', object: { metadata: { name: 'two' } } });
  off();
  await admin.remove(`${SECRETS}/one`);
  t.same(seen, ['ADDED one', 'ADDED two']);

  const abandoned = new AbortController();
  const never = cluster.waitForWrite(() => false, abandoned.signal);
  abandoned.abort(new Error('enough'));
  await t.rejects(never, /enough/);
  const ended = cluster.waitForWrite(() => false);
  const checked = t.rejects(ended, /the cluster was stopped/);
  await cluster.stop();
  await checked;
});

t.test('stopping leaves nothing behind, and may be done twice', async (t) => {
  const { cluster, admin } = await startCluster(t);
  await cluster.kubeconfig();
  const events = admin.watch(`${SECRETS}?watch=1`);
  // Ended, or cut in the middle.
  const end = events.next().catch(() => ({ done: true }));
  await admin.list(SECRETS);
  await cluster.stop();
  t.match(await end, { done: true });
  await t.rejects(access(cluster.folder), { code: 'ENOENT' });
  await cluster.stop();

  const { cluster: away } = await startCluster(t);
  await away.faults.goAway();
  await away.stop();
});

t.test('it starts in well under a second', async (t) => {
  const before = performance.now();
  await startCluster(t);
  t.ok(performance.now() - before < 3_000, 'with room for a busy machine');
});

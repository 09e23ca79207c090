/** Who may do what: each endpoint asks for its own right, in RBAC's terms, and says which one is missing. */
import t from 'tap';
import { restApp } from '../support/app.ts';
import { unsafeIn } from '../support/unsafe-text.ts';
import { undocumented } from './documented.ts';

const API = '/api/v1/namespaces/prod/locks/api';
const RESOURCE = { group: 'lockkeeper.dev', resource: 'releaselocks' };
const NAMED = { ...RESOURCE, namespace: 'prod', name: 'api' };
const IN_PROD = 'in namespace prod. Grant it by this rule in a Role in namespace prod, or a ClusterRole,';

const rule = (resource: string, verb: string) =>
  `that is bound to alice: {"apiGroups":["lockkeeper.dev"],"resources":["${resource}"],"verbs":["${verb}"]}`;

const ENDPOINTS = [
  {
    method: 'GET',
    path: '/api/v1/locks',
    rights: [{ ...RESOURCE, verb: 'list' }],
    refusal: `alice may not list releaselocks in all namespaces. Grant it by this rule in a ClusterRole ${rule('releaselocks', 'list')}`,
  },
  {
    method: 'GET',
    path: '/api/v1/namespaces/prod/locks',
    rights: [{ ...RESOURCE, verb: 'list', namespace: 'prod' }],
    refusal: `alice may not list releaselocks ${IN_PROD} ${rule('releaselocks', 'list')}`,
  },
  {
    method: 'GET',
    path: API,
    rights: [{ ...NAMED, verb: 'get' }],
    refusal: `alice may not get releaselocks ${IN_PROD} ${rule('releaselocks', 'get')}`,
  },
  {
    method: 'GET',
    path: `${API}/wait`,
    rights: [{ ...NAMED, verb: 'watch' }],
    refusal: `alice may not watch releaselocks ${IN_PROD} ${rule('releaselocks', 'watch')}`,
  },
  {
    method: 'DELETE',
    path: API,
    rights: [{ ...NAMED, verb: 'delete' }],
    refusal: `alice may not delete releaselocks ${IN_PROD} ${rule('releaselocks', 'delete')}`,
  },
  {
    method: 'DELETE',
    path: `${API}?force=false`,
    rights: [{ ...NAMED, verb: 'delete' }],
    refusal: `alice may not delete releaselocks ${IN_PROD} ${rule('releaselocks', 'delete')}`,
  },
  {
    method: 'DELETE',
    path: `${API}?force=true`,
    rights: [
      { ...NAMED, verb: 'delete' },
      { ...NAMED, verb: 'delete', subresource: 'force' },
    ],
    refusal: `alice may not delete releaselocks/force ${IN_PROD.replace('.', '. A namespace admin usually may.')} ${rule('releaselocks/force', 'delete')}`,
  },
] as const;

for (const { method, path, rights, refusal } of ENDPOINTS) {
  t.test(`given ${method} ${path}, then exactly its rights are asked about`, async (t) => {
    const { send, asked, clock } = await restApp(t);
    await send(method, path);
    t.strictSame(
      asked.rights.map(({ attributes }) => attributes),
      rights,
    );
    const isClearing = method === 'DELETE';
    await send(method, path);
    t.equal(
      asked.rights.length,
      (isClearing ? 2 : 1) * rights.length,
      'to clear: each time; to look: once in 10 s',
    );
    clock.advance(10_001);
    await send(method, path);
    t.equal(asked.rights.length, (isClearing ? 3 : 2) * rights.length, 'and then anew');
  });

  t.test(
    `given a right for ${method} ${path} was missing, when it is granted, then it counts at once`,
    async (t) => {
      let granted = false;
      const { send } = await restApp(t, { may: async () => granted });
      t.equal((await send(method, path)).status, 403);
      granted = true;
      t.not((await send(method, path)).status, 403);
    },
  );

  t.test(`given the last right for ${method} ${path} is missing, then 403 says which`, async (t) => {
    const refused = rights.at(-1);
    const { send, asked } = await restApp(t, {
      may: async (_user, attributes) =>
        JSON.stringify(sorted(attributes)) !== JSON.stringify(sorted(refused)),
    });
    const document = (await send('GET', '/openapi.json')).body;
    const answer = await send(method, path);
    t.equal(answer.status, 403);
    t.strictSame(answer.body, { type: 'about:blank', title: 'Forbidden', status: 403, detail: refusal });
    t.equal(undocumented(document, method, path, answer), undefined, 'as documented');
    t.strictSame([asked.list, asked.find, asked.wait, asked.clear], [[], [], [], []]);
  });
}

function sorted(attributes: object | undefined): [string, unknown][] {
  return Object.entries(attributes ?? {}).sort(([one], [other]) => (one < other ? -1 : 1));
}

t.test('given the right to force alone, then that is not enough', async (t) => {
  const { send, asked } = await restApp(t, {
    may: async (_user, { subresource }) => subresource === 'force',
  });
  t.match(await send('DELETE', `${API}?force=true`), {
    status: 403,
    body: { detail: /delete releaselocks in/ },
  });
  t.equal(asked.rights.length, 1, 'one refusal is enough');
});

t.test(
  'given groups, a uid and extra, then they are passed on as they came, and the name to the log',
  async (t) => {
    const identity = {
      username: 'system:serviceaccount:ci:runner',
      uid: 'u-1',
      groups: ['system:authenticated', 'ci'],
      extra: { 'authentication.kubernetes.io/pod-name': ['runner-7f9c'], scopes: [] },
    };
    const { send, asked } = await restApp(t, { whose: async () => identity });
    await send('DELETE', `${API}?force=true`);
    t.strictSame(
      asked.rights.map(({ user }) => user),
      [identity, identity],
    );
    t.match(asked.clear, [{ by: 'system:serviceaccount:ci:runner' }]);
  },
);

t.test(
  'given a name that a terminal would obey, then rights are those of that name, and words are safe',
  async (t) => {
    const identity = { username: 'eve\u001b[2J\u202e' };
    const safe = 'eve\\u{1b}[2J\\u{202e}';
    const whose = async () => identity;
    const allowed = await restApp(t, { whose });
    await allowed.send('DELETE', API);
    t.match(allowed.asked.rights, [{ user: identity }]);
    t.match(allowed.asked.clear, [{ by: safe }]);
    const refused = await restApp(t, { whose, may: async () => false });
    const { body } = await refused.send('DELETE', API);
    t.ok(body.detail.startsWith(`${safe} may not delete releaselocks`), body.detail);
    t.equal(unsafeIn(body.detail), undefined);
    const full = await restApp(t, { whose, mostWaitsOfOne: 0 });
    t.match((await full.send('GET', `${API}/wait`)).body, {
      detail: `0 requests of ${safe} wait at this replica`,
    });
  },
);

const QUESTIONS = ['may', 'list', 'find', 'clear'] as const;

for (const question of QUESTIONS) {
  const [method, path] = {
    may: ['GET', API] as const,
    list: ['GET', '/api/v1/locks'] as const,
    find: ['GET', API] as const,
    clear: ['DELETE', API] as const,
  }[question];

  for (const [name, error, status, detail] of [
    [
      'is down',
      new Error('connect ECONNREFUSED'),
      503,
      'the API server cannot be asked now: connect ECONNREFUSED',
    ],
    ['has no time', failure(429), 503, 'the API server cannot be asked now: it said 429'],
    ['fails', failure(500), 503, 'the API server cannot be asked now: it said 500'],
    ['refuses Lockkeeper itself', failure(403), 502, 'the API server refused lockkeeper: it said 403'],
    ['does not know Lockkeeper', failure(401), 502, 'the API server refused lockkeeper: it said 401'],
    ['does not understand', failure(400), 502, 'the API server refused lockkeeper: it said 400'],
    ['says nonsense', failure(399), 503, 'the API server cannot be asked now: it said 399'],
  ] as const) {
    t.test(`given the API server ${name} when asked “${question}”, then ${status}`, async (t) => {
      const { send } = await restApp(t, {
        [question]: async () => {
          throw error;
        },
      });
      const document = (await send('GET', '/openapi.json')).body;
      const answer = await send(method, path);
      t.equal(answer.status, status);
      t.match(answer.body, { type: 'about:blank', status, detail });
      t.equal(answer.headers['retry-after'], status === 503 ? '2' : undefined);
      t.equal(undocumented(document, method, path, answer), undefined, 'as documented');
    });
  }
}

function failure(status: number): Error {
  return Object.assign(new Error(`it said ${status}`), { status });
}

for (const error of [new Error('connect ECONNREFUSED 10.96.0.1'), failure(403), failure(500)]) {
  t.test(`given “${error.message}” when asked whose a token is, then a stranger is not told`, async (t) => {
    const { send, logs } = await restApp(t, {
      whose: async () => {
        throw error;
      },
    });
    for (const method of ['GET', 'DELETE'] as const) {
      const answer = await send(method, API);
      t.match(answer, { status: 503, headers: { 'retry-after': '2' } });
      t.equal(
        answer.body.detail,
        'the API server cannot be asked now whose token this is; the log of lockkeeper says why',
      );
    }
    t.match(logs.lines[0], { level: 50, reason: String(error) });
  });
}

t.test('no question is waited for without an end', async (t) => {
  const timeout = AbortSignal.timeout;
  const limits = new Map<AbortSignal, number>();
  t.intercept(AbortSignal, 'timeout', {
    value: (ms: number) => {
      const signal = timeout.call(AbortSignal, ms);
      limits.set(signal, ms);
      return signal;
    },
  });
  const given: [string, number | undefined][] = [];
  const note = (question: string, signal: AbortSignal) => given.push([question, limits.get(signal)]);
  const { send } = await restApp(t, {
    whose: async (_token, signal) => {
      note('whose', signal);
      return { username: 'alice' };
    },
    may: async (_user, _attributes, signal) => note('may', signal) > 0,
    list: async (_namespace, signal) => {
      note('list', signal);
      return [];
    },
    find: async (_target, signal) => {
      note('find', signal);
      return undefined;
    },
    clear: async (_request, signal) => {
      note('clear', signal);
      return { kind: 'free' };
    },
  });
  await send('GET', '/api/v1/locks');
  await send('GET', API);
  await send('DELETE', API);
  t.strictSame(given, [
    ['whose', 10_000],
    ['may', 20_000],
    ['list', 20_000],
    ['may', 20_000],
    ['find', 20_000],
    ['whose', 10_000],
    ['may', 20_000],
    ['clear', 40_000],
  ]);
});

/** What every parameter of every endpoint takes, and how what it does not take is refused. */
import t, { type Test } from 'tap';
import { restApp } from '../support/app.ts';
import { escaped, unsafeIn } from '../support/unsafe-text.ts';
import { undocumented } from './documented.ts';

const LOCKS = '/api/v1/namespaces/prod/locks';
const API = `${LOCKS}/api`;
const WAIT = `${API}/wait`;

const emoji = (count: number) => encodeURIComponent('😀'.repeat(count));
const OF_NAMESPACE = 'the name of a namespace: at most 63 small letters, digits and dashes';
const OF_RELEASE = 'the name of a release: at most 53 small letters, digits, dashes and dots';
const OF_TIMEOUT = 'a whole number from 0 to 86400';
const OF_REVISION = `a whole number from 1 to ${Number.MAX_SAFE_INTEGER}`;
const OF_REASON = 'a line of at most 200 characters';

/** Where a parameter goes, what it must be, and values as they are written in a URL. */
interface Row {
  readonly field: string;
  readonly in: 'path' | 'query';
  readonly paths: readonly ['GET' | 'DELETE', (value: string) => string][];
  readonly mustBe: string;
  readonly good: readonly string[];
  readonly bad: readonly string[];
}

const BAD_NAMES = [
  '',
  '%20',
  'Prod',
  'PROD',
  '-prod',
  'prod-',
  'pr_od',
  'pr%20od',
  'prod%20',
  'prod%0A',
  '%0Aprod',
  'a%2Fb',
  '..%2F..%2Fsecrets',
  '.prod',
  'prod.',
  'a..b',
  'pr%C3%B6d',
  '%F0%9F%98%80',
  '%00',
  '*',
  'a,b',
  'a%3Db',
  '%252e',
];

const BAD_NUMBERS = [
  '-1',
  '%2B1',
  '+1',
  '01',
  '00',
  '1e3',
  '0x10',
  '0b1',
  '1.0',
  '1.5',
  '1_000',
  '',
  '%20',
  '%201',
  '1%20',
  '1%0A',
  'NaN',
  'Infinity',
  'null',
  '%D9%A1',
  '1'.repeat(400),
];

const ROWS: readonly Row[] = [
  {
    field: 'namespace',
    in: 'path',
    paths: [
      ['GET', (value) => `/api/v1/namespaces/${value}/locks`],
      ['GET', (value) => `/api/v1/namespaces/${value}/locks/api`],
      ['GET', (value) => `/api/v1/namespaces/${value}/locks/api/wait`],
      ['DELETE', (value) => `/api/v1/namespaces/${value}/locks/api`],
    ],
    mustBe: OF_NAMESPACE,
    good: ['prod', 'a', '0', 'a-b', 'a--b', '1a', 'p%72od', 'constructor', 'x'.repeat(63)],
    bad: [...BAD_NAMES, 'a.b', 'x'.repeat(64), 'x'.repeat(101), 'x'.repeat(5_000), '__proto__', 'toString'],
  },
  {
    field: 'release',
    in: 'path',
    paths: [
      ['GET', (value) => `${LOCKS}/${value}`],
      ['GET', (value) => `${LOCKS}/${value}/wait`],
      ['DELETE', (value) => `${LOCKS}/${value}`],
    ],
    mustBe: OF_RELEASE,
    good: ['api', 'a', '0', 'a.b', 'app.v2', 'a-b.c-d', 'wait', 'constructor', 'x'.repeat(53)],
    bad: [
      ...BAD_NAMES,
      'a.-b',
      'a-.b',
      'x'.repeat(54),
      'x'.repeat(101),
      'x'.repeat(5_000),
      '__proto__',
    ].filter(
      // Without a name, it is another endpoint, or none.
      (value) => value !== '',
    ),
  },
  {
    field: 'timeout',
    in: 'query',
    paths: [['GET', (value) => `${WAIT}?timeout=${value}`]],
    mustBe: OF_TIMEOUT,
    good: ['0', '1', '600', '86400', '%36'],
    bad: [...BAD_NUMBERS, '86401', '9007199254740993', '10m', 'true'],
  },
  {
    field: 'revision',
    in: 'query',
    paths: [['DELETE', (value) => `${API}?revision=${value}`]],
    mustBe: OF_REVISION,
    good: ['1', '7', '9007199254740991'],
    bad: [...BAD_NUMBERS, '0', '9007199254740992', '9007199254740993', 'v7'],
  },
  {
    field: 'strategy',
    in: 'query',
    paths: [['DELETE', (value) => `${API}?strategy=${value}`]],
    mustBe: 'mark-failed or delete',
    good: ['mark-failed', 'delete', 'd%65lete'],
    bad: [
      '',
      '%20',
      'Delete',
      'DELETE',
      'delete%20',
      'delete%00',
      'mark_failed',
      'rollback',
      'mark-failed,delete',
      '0',
    ],
  },
  {
    field: 'force',
    in: 'query',
    paths: [['DELETE', (value) => `${API}?force=${value}`]],
    mustBe: 'true or false',
    good: ['true', 'false'],
    bad: [
      '',
      '1',
      '0',
      'TRUE',
      'True',
      'yes',
      'on',
      'no',
      'true%20',
      '%20true',
      'false%0A',
      'null',
      'undefined',
    ],
  },
  {
    field: 'uid',
    in: 'query',
    paths: [['DELETE', (value) => `${API}?uid=${value}`]],
    mustBe: 'the uid of an object',
    good: ['900e944d-3078-4208-b696-55ec1c4e8dda', 'A', '-', 'x'.repeat(64)],
    bad: ['', '%20', 'a%20b', 'a%2Fb', 'a%0A', 'a_b', '%C3%A4', 'x'.repeat(65)],
  },
  {
    field: 'reason',
    in: 'query',
    paths: [['DELETE', (value) => `${API}?reason=${value}`]],
    mustBe: OF_REASON,
    good: [
      '',
      'the+runner+was+evicted',
      '%20',
      'x'.repeat(200),
      emoji(200),
      '%E2%80%8D',
      'a+%F0%9F%91%A9%E2%80%8D%F0%9F%92%BB+did+it',
      '%EF%BB%BFit',
      '%C2%AD',
      '%22%3C%3E%26',
      '%E0%A4%A',
      '100%',
      '%FF',
    ],
    bad: [
      'x'.repeat(201),
      emoji(201),
      `a${'%CC%81'.repeat(200)}`,
      'a%0Ab',
      'a%0D%0Ab',
      'a%0A',
      '%0A',
      'a%09b',
      '%00',
      '%1B%5B31m',
      '%7F',
      '%C2%85',
      '%E2%80%A8',
      '%E2%80%A9',
      '%E2%80%AEdaed',
      '%E2%81%A6dead',
    ],
  },
];

function shorten(value: string): string {
  return value.length > 60 ? `${value.slice(0, 60)}…` : value;
}

/** As the server decodes it: what is no UTF-8 is taken as it is written. */
function decode(value: string): string {
  try {
    return decodeURIComponent(value.replaceAll('+', ' '));
  } catch {
    return value;
  }
}

/** For names of tests: tap cannot read back what breaks a line. */
function title(value: string): string {
  return JSON.stringify(value.length > 40 ? `${value.slice(0, 30)}… (${value.length})` : value);
}

async function documentedApp(t: Test) {
  const rest = await restApp(t);
  const document = (await rest.send('GET', '/openapi.json')).body;
  async function send(method: 'GET' | 'DELETE', path: string, options?: Parameters<typeof rest.send>[2]) {
    const answer = await rest.send(method, path, options);
    t.equal(undocumented(document, method, path, answer), undefined, 'the answer is as documented');
    return answer;
  }
  const askedNothing = () =>
    Object.values({ ...rest.asked, tokens: [] }).every((questions) => questions.length === 0);
  return { ...rest, send, askedNothing };
}

for (const { field, in: place, paths, mustBe, good, bad } of ROWS) {
  t.test(`given a good ${field}, then it is taken`, async (t) => {
    const { app, asked } = await restApp(t);
    for (const value of good) {
      for (const [method, path] of paths) {
        if (path('').includes('/wait')) continue; // see wait.test.ts: it needs a connection
        const { statusCode } = await app.inject({
          method,
          url: path(value),
          headers: { authorization: 'Bearer alice' },
        });
        t.equal(statusCode, 200, `${method} ${title(value)}`);
        if (place === 'query')
          t.equal(String(fieldOf(asked.clear.at(-1), field)), escaped(decode(value)), title(value));
      }
    }
  });

  t.test(`given a bad ${field}, then 400 says what it must be, and nobody is asked`, async (t) => {
    const { send, askedNothing } = await documentedApp(t);
    for (const value of bad) {
      for (const [method, path] of paths) {
        const { status, headers, body } = await send(method, path(value));
        const decoded = place === 'query' ? decode(value) : decodeURIComponent(value);
        const problem = `is ${escaped(JSON.stringify(shorten(decoded)))}, but must be ${mustBe}`;
        t.equal(headers['content-type'], 'application/problem+json; charset=utf-8');
        t.equal(status, 400, `${method} ${title(value)}`);
        t.strictSame(
          body,
          {
            type: 'about:blank',
            title: 'Bad Request',
            status: 400,
            detail: `${field} ${problem}`,
            errors: [{ in: place, field, problem }],
          },
          `${method} ${title(value)}`,
        );
      }
    }
    t.ok(askedNothing());
  });
}

function fieldOf(object: object | undefined, field: string): unknown {
  return new Map<string, unknown>(Object.entries(object ?? {})).get(field);
}

t.test('given a path that is no UTF-8, then it is refused as a problem that does not echo it', async (t) => {
  const { send, askedNothing } = await documentedApp(t);
  for (const garbage of ['%E0%A4%A', '%', '%zz', '%FF', `${'SECRET'.repeat(20)}%`]) {
    for (const [method, path] of [
      ['GET', `/api/v1/namespaces/${garbage}/locks`],
      ['GET', `${LOCKS}/${garbage}`],
      ['GET', `${LOCKS}/${garbage}/wait`],
      ['DELETE', `${LOCKS}/${garbage}`],
    ] as const) {
      const { status, body } = await send(method, path);
      t.equal(status, 400, `${method} ${path}`);
      t.strictSame(body.errors, [{ in: 'path', field: 'path', problem: 'is not percent-encoded UTF-8' }]);
      t.equal(body.detail, 'path is not percent-encoded UTF-8');
    }
  }
  t.ok(askedNothing());
});

t.test(
  'given what is not said, then clearing marks failed, without force; and no more is asked for',
  async (t) => {
    const { send, asked } = await documentedApp(t);
    await send('DELETE', API);
    t.strictSame(asked.clear, [
      {
        target: { namespace: 'prod', name: 'api' },
        strategy: 'mark-failed',
        force: false,
        by: 'alice',
        trigger: 'rest',
      },
    ]);
  },
);

t.test('given everything, then all of it is asked for, numbers as numbers', async (t) => {
  const { send, asked } = await documentedApp(t);
  await send('DELETE', `${API}?strategy=delete&revision=7&uid=uid-of-7&force=true&reason=it+is+dead%2C+Jim`);
  t.strictSame(asked.clear, [
    {
      target: { namespace: 'prod', name: 'api' },
      strategy: 'delete',
      revision: 7,
      uid: 'uid-of-7',
      force: true,
      reason: 'it is dead, Jim',
      by: 'alice',
      trigger: 'rest',
    },
  ]);
});

t.test('given a parameter twice or more, then 400, even if it says the same', async (t) => {
  const { send, askedNothing } = await documentedApp(t);
  for (const [method, path, field, value] of [
    ['GET', WAIT, 'timeout', '1'],
    ['DELETE', API, 'strategy', 'delete'],
    ['DELETE', API, 'revision', '7'],
    ['DELETE', API, 'uid', 'a'],
    ['DELETE', API, 'force', 'true'],
    ['DELETE', API, 'reason', 'a'],
  ] as const) {
    for (const times of [2, 3]) {
      const query = Array(times).fill(`${field}=${value}`).join('&');
      const { status, body } = await send(method, `${path}?${query}`);
      const problem = `is given ${times} times, but must be given once`;
      t.equal(status, 400, `${field} ${times} times`);
      t.strictSame(body.errors, [{ in: 'query', field, problem }]);
      t.equal(body.detail, `${field} ${problem}`);
    }
  }
  t.ok(askedNothing());
});

t.test(
  'given an unknown parameter, then 400 says which there are, and does not echo its value',
  async (t) => {
    const { send, askedNothing } = await documentedApp(t);
    const endpoints = [
      ['GET', '/api/v1/locks', 'is unknown: this call takes no parameters'],
      ['GET', LOCKS, 'is unknown: this call takes no parameters'],
      ['GET', API, 'is unknown: this call takes no parameters'],
      ['GET', WAIT, 'is unknown here: there are timeout'],
      ['DELETE', API, 'is unknown here: there are strategy, revision, uid, force, reason'],
    ] as const;
    const names = [
      'x',
      'Timeout',
      'FORCE',
      'namespace',
      'release',
      'reason[]',
      'reason.x',
      'access_token',
      '__proto__',
      '__proto__.force',
      'constructor',
      'prototype',
      'toString',
      'hasOwnProperty',
      'valueOf',
      '',
      'x'.repeat(61),
    ];
    for (const [method, path, problem] of endpoints) {
      for (const name of names) {
        for (const query of [`${name}=SECRET`, `${name}=SECRET&${name}=SECRET`, `${name}`].filter(Boolean)) {
          const { status, body } = await send(method, `${path}?${query}`);
          const field = name.slice(0, 60);
          t.equal(status, 400, `${method} ${path}?${query}`);
          t.strictSame(body.errors, [{ in: 'query', field, problem }], `${method} ${path}?${query}`);
          t.equal(body.detail, `${field} ${problem}`);
          t.notMatch(JSON.stringify(body), 'SECRET');
        }
      }
    }
    t.ok(askedNothing());
  },
);

t.test('given names and values that a terminal would obey, then they are echoed as escapes', async (t) => {
  const { send } = await documentedApp(t);
  for (const [path, status, detail] of [
    [
      `${API}?force=%1B%5B31m%C2%9B%E2%80%AE`,
      400,
      /^force is "\\u001b\[31m\\u\{9b\}\\u\{202e\}", but must be true/,
    ],
    [`${API}?%1B%5B31m=1`, 400, /^\\u\{1b\}\[31m is unknown here/],
    [`${API}?%C2%9B=1&%E2%81%A7=2`, 400, /^\\u\{9b\} is unknown .*; \\u\{2067\} is unknown/],
  ] as const) {
    const answer = await send('DELETE', path);
    t.match(answer, { status, body: { detail } });
    t.equal(unsafeIn(JSON.stringify(answer.body)), undefined);
  }
});

t.test('given several wrong parameters, then each is named, in their order', async (t) => {
  const { send, askedNothing } = await documentedApp(t);
  const query = 'strategy=undo&revision=0&reason=fine&uid=a_b&force=1&dry-run=true';
  const { body } = await send('DELETE', `${API}?${query}`);
  t.strictSame(
    body.errors.map(({ field }: { field: string }) => field),
    ['strategy', 'revision', 'uid', 'force', 'dry-run'],
  );
  t.equal(
    body.detail,
    [
      'strategy is "undo", but must be mark-failed or delete',
      `revision is "0", but must be ${OF_REVISION}`,
      'uid is "a_b", but must be the uid of an object',
      'force is "1", but must be true or false',
      'dry-run is unknown here: there are strategy, revision, uid, force, reason',
    ].join('; '),
  );
  const { body: path } = await send('GET', '/api/v1/namespaces/PROD/locks/API');
  t.match(path.errors, [{ field: 'namespace' }, { field: 'release' }]);
  t.ok(askedNothing());
});

t.test('given 60 characters, then all are echoed; of 61, 60', async (t) => {
  const { send } = await documentedApp(t);
  const echoed = async (text: string) => (await send('DELETE', `${API}?strategy=${text}`)).body.detail;
  t.match(await echoed('x'.repeat(60)), `is "${'x'.repeat(60)}", but`);
  t.match(await echoed('x'.repeat(61)), `is "${'x'.repeat(60)}…", but`);
});

t.test('given thousands of fields that are wrong, then the first eight are named', async (t) => {
  const { send } = await restApp(t);
  const query = Array.from({ length: 2_000 }, (_, index) => `f${index}`).join('&');
  const { status, body } = await send('DELETE', `${API}?${query}`);
  t.equal(status, 400);
  t.strictSame(
    body.errors.map(({ field }: { field: string }) => field),
    Array.from({ length: 8 }, (_, index) => `f${index}`),
  );
  t.ok(body.detail.length < 1_000);
});

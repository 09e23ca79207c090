/** The description of the endpoints: what a generated client, or a person in a browser, relies on. */
import t from 'tap';
import Value from 'typebox/value';
import { LockSchema, ProblemSchema } from '../../src/http/schemas.ts';
import { bystanders, LOCK, LOCK_JSON, type RestAppOptions, restApp } from '../support/app.ts';
import type { Json } from '../support/rest.ts';
import { matches, undocumented } from './documented.ts';

const NAMESPACE = 'path namespace string required';
const RELEASE = 'path release string required';
const PROBLEMS = ['400', '401', '403', '429', '502', '503'];

/** All of it: who adds an endpoint, a parameter or an answer adds it here. */
const OPERATIONS = {
  'get /api/v1/locks': { parameters: [], responses: ['200', ...PROBLEMS] },
  'get /api/v1/namespaces/{namespace}/locks': { parameters: [NAMESPACE], responses: ['200', ...PROBLEMS] },
  'get /api/v1/namespaces/{namespace}/locks/{release}': {
    parameters: [NAMESPACE, RELEASE],
    responses: ['200', '404', ...PROBLEMS],
  },
  'get /api/v1/namespaces/{namespace}/locks/{release}/wait': {
    parameters: [NAMESPACE, RELEASE, 'query timeout integer'],
    responses: ['200', '204', '409', ...PROBLEMS],
  },
  'delete /api/v1/namespaces/{namespace}/locks/{release}': {
    parameters: [
      NAMESPACE,
      RELEASE,
      'query strategy string',
      'query revision integer',
      'query uid string',
      'query force boolean',
      'query reason string',
    ],
    responses: ['200', '404', '409', '422', ...PROBLEMS],
  },
};

/** Every object in a document, at any depth. */
function* objectsIn(value: Json): Generator<Record<string, Json>> {
  if (typeof value !== 'object' || value === null) return;
  if (!Array.isArray(value)) yield value;
  for (const member of Object.values(value)) yield* objectsIn(member);
}

async function documentOf(t: Parameters<typeof restApp>[0]): Promise<Json> {
  const { send } = await restApp(t);
  const { status, headers, body } = await send('GET', '/openapi.json', { token: null });
  t.equal(status, 200);
  t.equal(headers['content-type'], 'application/json; charset=utf-8');
  return body;
}

t.test('the document is OpenAPI 3.1, for everybody to read', async (t) => {
  const document = await documentOf(t);
  t.equal(document.openapi, '3.1.0');
  t.match(document.info, { title: 'Lockkeeper', version: '1', description: /releaselocks/ });
  t.strictSame(document.components.securitySchemes, { token: { type: 'http', scheme: 'bearer' } });
  t.strictSame(Object.keys(document.components.schemas), ['Lock', 'Problem']);
  t.notMatch(
    JSON.stringify(document),
    /\$id|def-\d|"\$ref":"(Lock|Problem)/,
    'nothing that only Fastify understands',
  );
});

t.test('every operation is there, with every parameter and every answer', async (t) => {
  const { paths } = await documentOf(t);
  const found = new Map<string, unknown>();
  for (const [path, operations] of Object.entries<Json>(paths)) {
    for (const [method, operation] of Object.entries<Json>(operations)) {
      const { parameters = [], responses, security, summary, tags } = operation;
      const described = parameters.map(({ in: place, name, schema, required }: Json) =>
        [place, name, schema.type ?? 'enum', required && 'required'].filter(Boolean).join(' '),
      );
      found.set(`${method} ${path}`, {
        parameters: new Set(described),
        responses: new Set(Object.keys(responses)),
      });
      t.strictSame(security, [{ token: [] }], `${method} ${path} needs a token`);
      t.ok(summary && tags.length === 1);
      for (const parameter of parameters) t.ok(parameter.description.length > 10, parameter.name);
      for (const [status, response] of Object.entries<Json>(responses)) {
        t.ok(response.description, `${method} ${path}: ${status} is described`);
        t.strictSame(Object.keys(response.content ?? {}), contentTypes(path, status), status);
      }
    }
  }
  const expected = Object.entries(OPERATIONS).map(([name, { parameters, responses }]) => [
    name,
    { parameters: new Set(parameters), responses: new Set(responses) },
  ]);
  t.strictSame(Object.fromEntries(found), Object.fromEntries(expected));
});

function contentTypes(path: string, status: string): string[] {
  if (status === '204') return [];
  if (status === '200' && path.endsWith('/wait')) return ['application/x-ndjson'];
  return [status === '200' ? 'application/json' : 'application/problem+json'];
}

t.test('every $ref leads to something', async (t) => {
  const document = await documentOf(t);
  const refs = new Set([...objectsIn(document)].flatMap(({ $ref }) => ($ref === undefined ? [] : [$ref])));
  t.strictSame(refs, new Set(['#/components/schemas/Lock', '#/components/schemas/Problem']));
  for (const ref of refs) {
    const target = ref
      .slice(2)
      .split('/')
      .reduce((value: Json, key: string) => value?.[key], document);
    t.type(target, 'object', ref);
  }
});

t.test('parameters in a path are those of its template', async (t) => {
  const { paths } = await documentOf(t);
  for (const [path, operations] of Object.entries<Json>(paths)) {
    const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    for (const { parameters = [] } of Object.values<Json>(operations)) {
      const inPath = parameters.filter((parameter: Json) => parameter.in === 'path');
      t.strictSame(
        inPath.map(({ name }: Json) => name),
        names,
        path,
      );
      t.ok(inPath.every(({ required }: Json) => required === true));
    }
  }
});

t.test('the limits of parameters are those that are kept', async (t) => {
  const { paths } = await documentOf(t);
  const path = '/api/v1/namespaces/{namespace}/locks/{release}';
  const schemas: Record<string, Json> = {};
  for (const { name, schema } of [
    ...paths[path].delete.parameters,
    ...paths[`${path}/wait`].get.parameters,
  ]) {
    schemas[name] = schema;
  }
  t.match(schemas, {
    namespace: { type: 'string', maxLength: 63, pattern: /^\^/ },
    release: { type: 'string', maxLength: 53, pattern: /^\^/ },
    timeout: { type: 'integer', minimum: 0, maximum: 86_400, default: 600 },
    strategy: { enum: ['mark-failed', 'delete'], default: 'mark-failed' },
    revision: { type: 'integer', minimum: 1, maximum: Number.MAX_SAFE_INTEGER },
    uid: { type: 'string', maxLength: 64 },
    force: { type: 'boolean', default: false },
    reason: { type: 'string', maxLength: 200 },
  });
  for (const [name, { pattern }] of Object.entries(schemas)) {
    if (pattern !== undefined) t.ok(new RegExp(pattern, 'u'), `${name}: the pattern is one`);
  }
});

t.test('each answer is what its schema says, whatever the lock', async (t) => {
  const path = '/api/v1/namespaces/prod/locks/api';
  for (const [name, options] of [
    ['a holder in a pod', {}],
    [
      'a holder without a pod',
      { find: async () => ({ lock: { ...LOCK, holder: { user: 'a', pod: undefined } } }) },
    ],
    ['no holder', { find: async () => ({ lock: { ...LOCK, holder: undefined } }) }],
    ['no lock', { find: async () => undefined, list: async () => [] }],
  ] as [string, RestAppOptions][]) {
    const { send } = await restApp(t, options);
    const document = (await send('GET', '/openapi.json')).body;
    for (const [method, url] of [
      ['GET', '/api/v1/locks'],
      ['GET', '/api/v1/namespaces/prod/locks'],
      ['GET', path],
      ['DELETE', path],
    ] as const) {
      t.equal(
        undocumented(document, method, url, await send(method, url)),
        undefined,
        `${name}: ${method} ${url}`,
      );
    }
  }
});

t.test('the schemas tell a lock and a problem from what is none', async (t) => {
  const document = await documentOf(t);
  const lock = { $ref: '#/components/schemas/Lock' };
  t.ok(matches(document, lock, LOCK_JSON));
  const { holder: _, ...withoutHolder } = LOCK_JSON;
  for (const wrong of [
    {},
    withoutHolder,
    { ...LOCK_JSON, since: 'yesterday' },
    { ...LOCK_JSON, revision: '7' },
    { ...LOCK_JSON, verdict: 'dead' },
    { ...LOCK_JSON, holder: { user: 'alice' } },
  ]) {
    t.notOk(matches(document, lock, wrong), JSON.stringify(wrong));
    t.notOk(Value.Check(LockSchema, wrong));
  }
  t.ok(Value.Check(LockSchema, LOCK_JSON), 'and the schema in the code is the same');
  t.strictSame(Object.keys(LockSchema.properties), Object.keys(LOCK_JSON), 'which leaves nothing out');
  t.strictSame(Object.keys(ProblemSchema.properties), [
    'type',
    'title',
    'status',
    'detail',
    'errors',
    'lock',
  ]);
  t.notOk(matches(document, { $ref: '#/components/schemas/Problem' }, { status: 404 }));
});

t.test(
  '/docs is a page whose every asset is served, under a policy that lets in no other script',
  async (t) => {
    const { app } = await restApp(t, bystanders.rest.locks);
    for (const page of ['/docs', '/docs/']) {
      const { statusCode, headers, body } = await app.inject(page);
      t.equal(statusCode, 200, page);
      t.match(headers['content-type'], 'text/html');
      const policy = String(headers['content-security-policy']);
      t.match(policy, "default-src 'self'");
      t.match(policy, /script-src 'self' *;/);
      t.match(policy, "frame-ancestors 'self'");
      t.notMatch(policy, 'unsafe');
      t.notMatch(body, /<script(?![^>]* src=)/, 'no script in the page, which the policy would forbid');

      const assets = [...body.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path = '']) => path);
      t.ok(assets.length >= 6, `${assets.length} assets`);
      for (const asset of assets) {
        const { pathname, origin } = new URL(asset, 'https://lockkeeper/docs/');
        t.equal(origin, 'https://lockkeeper', asset);
        const answer = await app.inject(pathname);
        t.equal(answer.statusCode, 200, asset);
        t.ok(answer.rawPayload.length > 100);
      }
    }
    t.equal((await app.inject('/docs/json')).json().openapi, '3.1.0', 'and it shows this document');
    t.equal((await app.inject('/docs/static/../../package.json')).statusCode, 404);
  },
);

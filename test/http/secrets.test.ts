/** Whatever secret a request carries, and wherever: neither an answer nor the log repeats it. */
import t from 'tap';
import { restApp } from '../support/app.ts';

const SECRET = 'c2VjcmV0LW9mLXRoZS1wcm9kdWN0aW9u';
const API = '/api/v1/namespaces/prod/locks/api';
const JSON_TYPE = { 'content-type': 'application/json' };

const REQUESTS: readonly [string, Parameters<Awaited<ReturnType<typeof restApp>>['send']>][] = [
  ['malformed JSON', ['POST', '/admission', { headers: JSON_TYPE, body: `{"data": ${SECRET}` }]],
  ['malformed JSON that begins with it', ['POST', '/admission', { headers: JSON_TYPE, body: SECRET }]],
  ['JSON that is no review', ['POST', '/admission', { headers: JSON_TYPE, body: `{"kind":"${SECRET}"}` }]],
  ['JSON that is a text', ['POST', '/admission', { headers: JSON_TYPE, body: `"${SECRET}"` }]],
  [
    'a review with a wrong record',
    [
      'POST',
      '/admission',
      {
        headers: JSON_TYPE,
        body: JSON.stringify({
          apiVersion: 'admission.k8s.io/v1',
          kind: 'AdmissionReview',
          request: { uid: 'r-1', object: { data: SECRET } },
        }),
      },
    ],
  ],
  [
    'a body of another type',
    ['POST', '/admission', { headers: { 'content-type': 'text/csv' }, body: SECRET }],
  ],
  ['a token that is not accepted', ['GET', API, { token: SECRET }]],
  ['a token to clear with', ['DELETE', API, { token: SECRET }]],
  ['a token without its scheme', ['GET', API, { token: null, headers: { authorization: SECRET } }]],
  ['a password', ['GET', API, { token: null, headers: { authorization: `Basic ${SECRET}` } }]],
  ['two tokens', ['GET', API, { token: `${SECRET} ${SECRET}` }]],
  ['a token in the query', ['GET', `${API}?access_token=${SECRET}`, { token: 'alice' }]],
  ['a token in a query of an inherited name', ['DELETE', `${API}?constructor=${SECRET}`, { token: 'alice' }]],
  ['a token in a query, of no user', ['GET', `${API}?access_token=${SECRET}`, { token: null }]],
  ['a token in the query of no endpoint', ['GET', `/api/v2/locks?access_token=${SECRET}`]],
  ['a parameter twice', ['DELETE', `${API}?reason=${SECRET}&reason=${SECRET}`]],
  ['after 60 characters of a parameter', ['DELETE', `${API}?reason=${'x'.repeat(200)}${SECRET}`]],
  ['after 60 characters of a name', ['GET', `${API}?${'x'.repeat(60)}${SECRET}`]],
  ['in a path that cannot be read', ['GET', `/api/v1/namespaces/${SECRET}%/locks`]],
  ['in a body of a GET', ['GET', API, { headers: JSON_TYPE, body: `{"token":"${SECRET}"}` }]],
  ['in a body of a DELETE', ['DELETE', API, { headers: JSON_TYPE, body: SECRET }]],
  ['in a cookie', ['DELETE', `${API}?force=1`, { headers: { cookie: `session=${SECRET}` } }]],
];

for (const [name, request] of REQUESTS) {
  t.test(`given a secret is ${name}, then it is not repeated`, async (t) => {
    const { send, logs } = await restApp(t, {
      whose: async (token) => (token === 'alice' ? { username: 'alice' } : undefined),
    });
    const { status, headers, body } = await send(...request);
    t.ok(status >= 400 || body.response?.allowed === false, `${status}`);
    for (const part of [SECRET, SECRET.slice(0, 8), SECRET.slice(-8)]) {
      t.notOk(JSON.stringify([headers, body]).includes(part), 'in the answer');
      t.notOk(logs.text().includes(part), 'in the log');
    }
  });
}

t.test('given the API server cannot be asked about a token, then that is not repeated, either', async (t) => {
  const { send, logs } = await restApp(t, {
    whose: async () => {
      throw new Error('POST /apis/authentication.k8s.io/v1/tokenreviews: connect ECONNREFUSED');
    },
  });
  const { status, body } = await send('GET', API, { token: SECRET });
  t.equal(status, 503);
  t.notOk(`${JSON.stringify(body)}${logs.text()}`.includes(SECRET));
});

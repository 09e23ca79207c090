/** No endpoint takes a body: what is said in one would be ignored, and whoever said it would not know. */
import t from 'tap';
import { restApp } from '../support/app.ts';
import { undocumented } from './documented.ts';

const API = '/api/v1/namespaces/prod/locks/api';
const JSON_TYPE = { 'content-type': 'application/json' };

t.test('given a body, or the announcement of one, then 400 and nobody is asked', async (t) => {
  const { send, asked } = await restApp(t);
  const document = (await send('GET', '/openapi.json')).body;
  for (const [name, headers, body] of [
    ['a body of JSON', JSON_TYPE, '{"force":true}'],
    ['a body of no type', {}, 'force=true'],
    ['a body of a type that nobody reads', { 'content-type': 'text/csv' }, 'a'],
    ['malformed JSON', JSON_TYPE, '{'],
    ['a content-length', { 'content-length': '7' }, undefined],
    ['a content-length that is none', { 'content-length': '-0' }, undefined],
    ['chunks', { 'transfer-encoding': 'chunked' }, undefined],
    ['chunks and a length of 0', { 'transfer-encoding': 'chunked', 'content-length': '0' }, undefined],
  ] as const) {
    for (const [method, path] of [
      ['GET', '/api/v1/locks'],
      ['GET', API],
      ['GET', `${API}/wait`],
      ['DELETE', API],
    ] as const) {
      const answer = await send(method, path, { headers, ...(body !== undefined && { body }) });
      t.equal(answer.status, 400, `${name}, ${method}`);
      t.strictSame(
        answer.body,
        {
          type: 'about:blank',
          title: 'Bad Request',
          status: 400,
          detail: 'body must be empty: parameters go into the query',
          errors: [{ in: 'body', field: 'body', problem: 'must be empty: parameters go into the query' }],
        },
        `${name}, ${method}`,
      );
      t.equal(undocumented(document, method, path, answer), undefined, 'as documented');
    }
  }
  t.strictSame(asked, { list: [], find: [], wait: [], clear: [], tokens: [], rights: [] });
});

t.test('given a type but no body, as some clients send it, then it is served', async (t) => {
  const { send } = await restApp(t);
  for (const headers of [
    JSON_TYPE,
    { ...JSON_TYPE, 'content-length': '0' },
    { 'content-length': '0' },
    { 'content-type': 'application/x-www-form-urlencoded' },
    { 'content-type': 'nonsense' },
  ]) {
    t.equal((await send('GET', API, { headers })).status, 200, `GET ${JSON.stringify(headers)}`);
    t.equal((await send('DELETE', API, { headers })).status, 200, `DELETE ${JSON.stringify(headers)}`);
  }
});

/** Paths that a client's library would tidy up before it sends them, sent as they are. */
import t from 'tap';
import { connectedApp } from './connected.ts';

t.test('given dots and slashes in a name, however they are written, then they lead nowhere', async (t) => {
  const { call, asked } = await connectedApp(t);
  for (const [path, status] of [
    ['/api/v1/namespaces/../locks', 400],
    ['/api/v1/namespaces/%2E%2E/locks', 400],
    ['/api/v1/namespaces/%2e/locks', 400],
    ['/api/v1/namespaces/prod/locks/..', 400],
    ['/api/v1/namespaces/prod/locks/%2e%2e', 400],
    ['/api/v1/namespaces/prod/locks/..%2f..%2flocks', 400],
    ['/api/v1/namespaces/prod/locks/%252e%252e', 400],
    ['/api/v1/namespaces/prod/locks/../../locks', 404],
    ['/api/v1/namespaces/prod/locks/api/../other', 404],
    ['/api/v1/./locks', 404],
    ['//api/v1/locks', 404],
    ['/api/v1/locks/', 404],
    ['/API/v1/locks', 404],
    ['/api/v1/namespaces/prod/locks/', 400],
  ] as const) {
    t.match(await call('GET', path), { status, body: { status } }, path);
  }
  t.strictSame({ ...asked, tokens: [] }, { list: [], find: [], wait: [], clear: [], tokens: [], rights: [] });
});

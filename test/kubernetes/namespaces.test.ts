/** The annotations of a namespace. */
import t from 'tap';
import { createNamespaceReader } from '../../src/kubernetes/namespaces.ts';

const never = new AbortController().signal;

t.test('of this namespace, and of nothing else', async (t) => {
  const answer = (body: unknown) =>
    createNamespaceReader({
      read: async <T>(path: string) => {
        t.equal(path, '/api/v1/namespaces/prod');
        return body as T;
      },
    });
  const metadata = { name: 'prod', uid: 'u' };
  t.strictSame(await answer({ metadata: { ...metadata, annotations: { a: 'b' } } })('prod', never), {
    a: 'b',
  });
  t.strictSame(await answer({ metadata })('prod', never), {});
  for (const nonsense of [{}, { metadata: { name: 'other', uid: 'u' } }, { metadata: { name: 'prod' } }]) {
    await t.rejects(answer(nonsense)('prod', never), { message: /is no such namespace$/ });
  }
});

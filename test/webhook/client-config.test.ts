/** Where a webhook has reviews sent, in both forms. */
import t from 'tap';
import type { ClientConfig } from '../../src/kubernetes/webhook-configurations.ts';
import { pathIn, pathOfToken, withPath } from '../../src/webhook/client-config.ts';

const PATH = '/admission/new';

t.test('the path that is read, and the one that is written', async (t) => {
  const rows: readonly [ClientConfig, string, ClientConfig][] = [
    [{ service: {} }, '/', { service: { path: PATH } }],
    [{}, '/', { service: { path: PATH } }],
    [{ service: { path: '/admission' } }, '/admission', { service: { path: PATH } }],
    [{ service: { path: '/other' } }, '/other', { service: { path: PATH } }],
    [{ url: 'https://a:8443' }, '/', { url: 'https://a:8443/admission/new' }],
    [{ url: 'https://a:8443/' }, '/', { url: 'https://a:8443/admission/new' }],
    [{ url: 'https://a/admission' }, '/admission', { url: 'https://a/admission/new' }],
    [{ url: 'https://a/admission/' }, '/admission/', { url: 'https://a/admission/new' }],
    [{ url: 'https://a/admission/old' }, '/admission/old', { url: 'https://a/admission/new' }],
    [{ url: 'https://a/b/admission/old' }, '/admission/old', { url: 'https://a/b/admission/new' }],
    [{ url: 'https://a/b' }, '/b', { url: 'https://a/b/admission/new' }],
    [{ url: 'https://admission/old' }, '/old', { url: 'https://admission/old/admission/new' }],
    [{ url: 'https://[::1]:8443/admission' }, '/admission', { url: 'https://[::1]:8443/admission/new' }],
  ];
  for (const [clientConfig, path, written] of rows) {
    const given = JSON.stringify(clientConfig);
    t.equal(pathIn(clientConfig), path, given);
    t.strictSame(withPath(clientConfig, PATH), written, given);
    t.equal(pathIn(written), PATH, `${given}: and read again`);
    t.strictSame(withPath(written, PATH), written, `${given}: and written again`);
  }
  t.equal(pathOfToken('new'), PATH);
});

/**
 * `node deploy/trim-client.ts dist`, the last step of `npm run build`: puts into dist/kubernetes what its kubeconfig.js and
 * connection.js use of the Kubernetes client and of undici. The models of all objects of Kubernetes stay out, since nothing
 * here asks for one: they would take half a second of each start, and 45 MB for as long as it runs. So do undici's fetch, caches,
 * mocks and WebSockets, which would take 60 ms and 3 MB.
 */
import { join } from 'node:path';
import { build, type Plugin } from 'esbuild';

/** Accelerators of a WebSocket, which ws does without where they are not installed. */
const OPTIONAL = ['bufferutil', 'utf-8-validate'];

/** Its modules define classes and do nothing else, which its package.json does not say. */
const withoutSideEffects: Plugin = {
  name: 'without-side-effects',
  setup({ onResolve, resolve }) {
    const asked = Symbol('asked');
    onResolve({ filter: /./ }, async ({ path, pluginData, ...from }) => {
      if (pluginData === asked) return undefined;
      const { importer, resolveDir, kind } = from;
      const found = await resolve(path, { importer, resolveDir, kind, pluginData: asked });
      return /[/\\]@kubernetes[/\\]client-node[/\\]/.test(found.path)
        ? { ...found, sideEffects: false }
        : found;
    });
  },
};

/** undici with no more than is used of it; its own index loads all that there is. What asks for `fetch` is never called. */
const UNDICI = `
import Dispatcher from 'undici/lib/dispatcher/dispatcher.js';
import request from 'undici/lib/api/api-request.js';
Dispatcher.prototype.request = request;
export { default as Agent } from 'undici/lib/dispatcher/agent.js';
export { default as ProxyAgent } from 'undici/lib/dispatcher/proxy-agent.js';
export const fetch = globalThis.fetch;
`;

const smallUndici: Plugin = {
  name: 'small-undici',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^undici$/ }, ({ path }) => ({ path, namespace: 'small' }));
    onLoad({ filter: /./, namespace: 'small' }, () => ({
      contents: UNDICI,
      resolveDir: import.meta.dirname,
    }));
  },
};

const [, , dist] = process.argv as [string, string, string];
const folder = join(dist, 'kubernetes');
await build({
  entryPoints: ['kubeconfig.js', 'connection.js'].map((name) => join(folder, name)),
  outdir: folder,
  allowOverwrite: true,
  bundle: true,
  splitting: true, // what both use is there once
  platform: 'node',
  target: 'node20',
  format: 'esm',
  keepNames: true,
  external: OPTIONAL,
  plugins: [smallUndici, withoutSideEffects],
  // Packages that are CommonJS ask for Node's own modules so.
  banner: {
    js: "import { createRequire } from 'node:module';\nconst require = createRequire(import.meta.url);",
  },
  logLevel: 'warning',
});

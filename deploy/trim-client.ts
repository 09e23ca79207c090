/**
 * `node deploy/trim-client.ts dist`, the last step of `npm run build`: makes one file of dist/kubernetes/kubeconfig.js and what
 * it imports, but for undici, which Lockkeeper itself loads. The models of all objects of Kubernetes stay out, since nothing
 * here asks for one. They would take half a second of each start, and 45 MB for as long as it runs.
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

const [, , dist] = process.argv as [string, string, string];
const file = join(dist, 'kubernetes/kubeconfig.js');
await build({
  entryPoints: [file],
  outfile: file,
  allowOverwrite: true,
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'esm',
  keepNames: true,
  external: ['undici', ...OPTIONAL],
  plugins: [withoutSideEffects],
  // Packages that are CommonJS ask for Node's own modules so.
  banner: {
    js: "import { createRequire } from 'node:module';\nconst require = createRequire(import.meta.url);",
  },
  logLevel: 'warning',
});

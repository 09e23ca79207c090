/**
 * `npm run manifests` writes deploy/lockkeeper.yaml, or the file that is named; with `-- --check` it only tells whether that
 * is needed.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { MANIFEST, renderManifest } from './render.ts';

const { values, positionals } = parseArgs({
  options: { check: { type: 'boolean' } },
  allowPositionals: true,
});
const [file = MANIFEST] = positionals;
const rendered = await renderManifest();
if (!values.check) {
  await writeFile(file, rendered);
} else if ((await readFile(file, 'utf8')) !== rendered) {
  process.stderr.write(`${file} is not what deploy/chart makes: npm run manifests\n`);
  process.exitCode = 1;
}

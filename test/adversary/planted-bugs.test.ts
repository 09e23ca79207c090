/** Each bug can still be planted: what it changes stands in the source as it is now. */
import { execFile } from 'node:child_process';
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { BUGS } from './planted-bugs.ts';

const run = promisify(execFile);

const SERVICE = new URL('../../src/service.ts', import.meta.url).href;
const FOLDER = join(import.meta.dirname, 'bugs');

/** The lines of a module that was changed are not those of the source, and would spoil its coverage. */
const UNCOUNTED = { ...process.env, _TAPJS_PROCESSINFO_COVERAGE_: '0' };

/** Loads all of Lockkeeper, with these modules before it. @throws if a bug was not planted */
async function load(...modules: readonly string[]): Promise<void> {
  const imports = modules.map((module) => `--import=${module}`);
  const program = ['--input-type=module', '--eval', `await import('${SERVICE}')`];
  await run(process.execPath, [...imports, ...program], { env: UNCOUNTED });
}

t.test('each bug is planted where it says', async (t) => {
  const loads = BUGS.flatMap(({ name, plant }) =>
    (plant.modules ?? []).map((module) => t.resolves(load(module), name)),
  );
  await Promise.all(loads);
});

t.test('a bug is known to be planted nowhere', async (t) => {
  const plant = new URL('bugs/plant.ts', import.meta.url).href;
  const bug = (file: string, text: string) =>
    `data:text/javascript,import{plant}from'${plant}';plant('${file}','${text}','')`;
  await t.rejects(load(bug('/src/gate/doors.ts', 'nowhere')), { message: /doors.ts has changed/ });
  await t.rejects(load(bug('/src/nobody.ts', 'nowhere')), { message: /nobody.ts was not loaded/ });
});

t.test('each file of a bug is one of the planted', async (t) => {
  const files = globSync('*.ts', { cwd: FOLDER }).filter((file) => file !== 'plant.ts');
  const planted = BUGS.flatMap(({ plant }) => plant.modules ?? []).map((module) => module.split('/').pop());
  t.same(planted.toSorted(), files.toSorted());
});

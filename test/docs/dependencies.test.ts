/** docs/dependencies.md tells of each production dependency, and of no other. */
import { globSync, readFileSync } from 'node:fs';
import t from 'tap';

const ROOT = new URL('../../', import.meta.url).pathname;

const read = (path: string) => readFileSync(`${ROOT}${path}`, 'utf8');

const { dependencies } = JSON.parse(read('package.json')) as { dependencies: Record<string, string> };
const { packages } = JSON.parse(read('package-lock.json')) as {
  packages: Record<string, { version: string; dev?: boolean; hasInstallScript?: boolean }>;
};
const page = read('docs/dependencies.md');

/** The cells of each row below a heading that begins with a package. */
function rowsOf(part: string): string[][] {
  const rows = part.split('\n').filter((line) => line.startsWith('| `'));
  return rows.map((row) =>
    row
      .split('|')
      .map((cell) => cell.trim().replaceAll('`', ''))
      .slice(1, -1),
  );
}

t.test('each is in the table, in its version, with a reason', async (t) => {
  const rows = rowsOf(page.split('\n## ')[0] ?? '');
  t.same(Object.fromEntries(rows.map(([name, version]) => [name, version])), dependencies);
  t.ok(rows.every((cells) => cells.length === 4 && cells.every((cell) => cell !== '')));
});

t.test('each is used', async (t) => {
  const sources = globSync('src/**/*.ts', { cwd: ROOT }).map(read).join('\n');
  for (const name of Object.keys(dependencies))
    t.match(sources, new RegExp(`(from|import\\() ?'${name}['/]`), name);
});

t.test('what the page says of the whole tree is so', async (t) => {
  const tree = Object.entries(packages).filter(([path, { dev }]) => path !== '' && !dev);
  t.match(page, `the hash of all ${tree.length} packages`);
  t.same(
    tree.filter(([, { hasInstallScript }]) => hasInstallScript),
    [],
    'none runs a script when it is installed',
  );
  const advisories = page.split('\n## ').find((part) => part.startsWith('Advisories')) ?? '';
  for (const [name = '', versions] of rowsOf(advisories)) {
    const locked = tree
      .filter(([path]) => path.endsWith(`node_modules/${name}`))
      .map(([, { version }]) => version);
    t.equal([...new Set(locked)].sort().join(', '), versions, name);
  }
});

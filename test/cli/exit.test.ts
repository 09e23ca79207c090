import { readFileSync } from 'node:fs';
import t from 'tap';
import { EXIT, exitCodeOf, Failure, MEANINGS } from '../../src/cli/exit.ts';
import { KubernetesError } from '../../src/kubernetes/requests.ts';

t.test('what a command threw tells how it ends', async (t) => {
  const table: [unknown, number][] = [
    [new Failure(EXIT.locked, ''), 3],
    [new KubernetesError('GET /', 401, ''), 7],
    [new KubernetesError('GET /', 403, ''), 7],
    [new KubernetesError('GET /', 503, ''), 6],
    [new KubernetesError('GET /', 422, ''), 1],
    [new Error('GET /: connect ECONNREFUSED', { cause: new Error() }), 6],
    [new TypeError('a mistake of ours'), 1],
  ];
  for (const [error, code] of table) t.equal(exitCodeOf(error), code, String(error));
});

t.test('docs/cli.md has the same table', async (t) => {
  const page = readFileSync(new URL('../../docs/cli.md', import.meta.url), 'utf8');
  const rows = [...page.matchAll(/^\| (\d) \| (.*) \|$/gm)].map(([, code, words]) => [code, words]);
  t.same(Object.fromEntries(rows), MEANINGS);
});

/** What a builder is sent. */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { dockerignore } from './context.ts';

t.test('.dockerignore: the last pattern that fits decides', async (t) => {
  const isSent = dockerignore('# all but\n*\n!src\n!package.json\n\nsrc/secret\n');
  for (const path of ['package.json', 'src/main.ts', 'src/a/b.ts']) t.ok(isSent(path), path);
  for (const path of ['.env', 'test/a.ts', 'src2/a.ts', 'a/src/b.ts', 'src/secret/key', 'package.json5']) {
    t.notOk(isSent(path), path);
  }
  t.ok(dockerignore('')('anything'));
});

t.test('.dockerignore: what it does not know, it refuses', async (t) => {
  for (const pattern of ['**/*.ts', '*.md', 'a?', '/src', 'src/', '[ab]']) {
    t.throws(() => dockerignore(pattern), /not rehearsed/, pattern);
  }
});

t.test('ours sends the sources and what builds them, and no more', async (t) => {
  const isSent = dockerignore(readFileSync(new URL('../../.dockerignore', import.meta.url), 'utf8'));
  for (const path of ['src/main.ts', 'package.json', 'package-lock.json', '.npmrc', 'tsconfig.json']) {
    t.ok(isSent(path), path);
  }
  for (const path of ['.env', '.git/config', 'certs/issued/ca.key', 'node_modules/a/b.js', 'dist/main.js']) {
    t.notOk(isSent(path), path);
  }
});

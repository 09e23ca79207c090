/** The client CA in a file: what may be in it, and that it is read again. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { followClientCa, readClientCa } from '../../src/tls/client-ca.ts';
import { issueAuthority } from '../../src/tls/issue.ts';
import { testLog } from '../support/log.ts';
import { sleeper } from '../support/sleeper.ts';

const LOOK_MS = 10_000;

const today = { validDays: 1, now: new Date() };
const [one, other] = await Promise.all([
  issueAuthority({ commonName: 'one', ...today }),
  issueAuthority({ commonName: 'other', ...today }),
]);

/** As it is told, whatever line ends it has. */
const plain = (pem: string) => pem.replaceAll('\r', '');

t.test('the certificates in a file, and nothing else of it', async (t) => {
  const folder = t.testdir({
    'one.crt': one.certificate,
    'two.crt': `# both\n${one.certificate}\n\n${other.certificate}`,
    'pair.pem': `${one.privateKey}${one.certificate}`,
  });
  t.equal(plain(await readClientCa(join(folder, 'one.crt'))), plain(one.certificate));
  t.equal(
    plain(await readClientCa(join(folder, 'two.crt'))),
    plain(one.certificate) + plain(other.certificate),
  );
  t.notMatch(await readClientCa(join(folder, 'pair.pem')), 'PRIVATE');
});

t.test('what is no client CA is refused in words, without a word of what is in it', async (t) => {
  const folder = t.testdir({
    'empty.crt': '',
    'key.pem': one.privateKey,
    'bad.crt': `${one.certificate}-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n`,
  });
  for (const [name, words] of [
    ['absent.crt', /absent\.crt cannot be read: ENOENT/],
    ['empty.crt', /empty\.crt holds no PEM certificate$/],
    ['key.pem', /key\.pem holds no PEM certificate$/],
    ['bad.crt', /bad\.crt holds a PEM certificate that cannot be read$/],
  ] as const) {
    await t.rejects(readClientCa(join(folder, name)), { message: words }, name);
  }
});

async function start(t: Test) {
  const file = join(t.testdir({ 'ca.crt': one.certificate }), 'ca.crt');
  const { clock, asleep } = sleeper();
  const logs = testLog();
  const changes: string[] = [];
  const sleeping = asleep();
  const first = await readClientCa(file);
  const followed = followClientCa({
    file,
    first,
    onChange: (pem) => changes.push(plain(pem)),
    clock,
    log: logs.log,
  });
  t.teardown(() => followed.stop());
  await sleeping;
  return {
    ...followed,
    logs,
    changes,
    write: (content: string) => writeFile(file, content),
    async look(): Promise<void> {
      const sleeping = asleep();
      clock.advance(LOOK_MS);
      await sleeping;
    },
  };
}

t.test('it is read again, and told when it is another', async (t) => {
  const { look, write, changes, logs } = await start(t);
  await look();
  t.strictSame(changes, []);
  await write(`${one.certificate}${other.certificate}`);
  await look();
  await look();
  await write(other.certificate);
  await look();
  t.strictSame(changes, [plain(one.certificate) + plain(other.certificate), plain(other.certificate)]);
  t.strictSame(
    logs.messages(),
    Array(2).fill('reviews must come with certificates of another client CA from now on'),
  );
});

t.test('while it cannot be used, the last good one is in force, and that is told once', async (t) => {
  const { look, write, changes, logs, problem } = await start(t);
  t.equal(problem(), undefined);
  await write('');
  await look();
  await look();
  t.match(problem(), /holds no PEM certificate$/);
  t.strictSame(logs.messages(), ['the client CA cannot be used']);
  t.strictSame(changes, []);
  await write(one.certificate);
  await look();
  t.equal(problem(), undefined);
  t.strictSame(changes, [], 'the same as before is no news');
});

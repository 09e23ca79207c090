/** Files that are renewed under a running process: each good pair is served, a bad one never. */
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { fileSource, readKeyPair } from '../../src/tls/files.ts';
import { issueAuthority, issueServingCertificate, type KeyPair } from '../../src/tls/issue.ts';
import { fakeClock } from '../support/fake-clock.ts';
import { testLog } from '../support/log.ts';
import { sleeper } from '../support/sleeper.ts';
import { foreignAuthority } from './foreign.ts';

const LOOK_MS = 10_000;
const DAY = 86_400_000;
const NOW = Date.parse('2026-11-22T13:00:00Z');

const now = new Date(NOW);
const authority = await issueAuthority({ commonName: 'test', validDays: 30, now });
const issue = (validDays: number) =>
  issueServingCertificate(authority, { hosts: ['a.example'], validDays, now });
const [first, second, third] = await Promise.all([issue(7), issue(14), issue(21)]);
const expired = await issueServingCertificate(authority, {
  hosts: ['a.example'],
  validDays: 1,
  now: new Date(NOW - 3 * DAY),
});
const tiny = foreignAuthority({ now, validDays: 7, bits: 1024 });

const WARNING = 'the certificate files cannot be used';

async function start(t: Test, pair: KeyPair = first) {
  const folder = t.testdir({});
  const certFile = join(folder, 'tls.crt');
  const keyFile = join(folder, 'tls.key');

  async function write({ certificate, privateKey }: KeyPair): Promise<void> {
    await writeFile(certFile, certificate);
    await writeFile(keyFile, privateKey);
  }
  await write(pair);

  const { clock, asleep } = sleeper(fakeClock(NOW));
  const logs = testLog();
  const served: KeyPair[] = [];
  let refusal: Error | undefined;
  const source = fileSource({
    certFile,
    keyFile,
    first: await readKeyPair(certFile, keyFile),
    clock,
    log: logs.log,
  });
  t.equal(source.problem(), undefined);
  const sleeping = asleep();
  source.start((pair) => {
    if (refusal) throw refusal;
    served.push(pair);
  });
  t.teardown(() => source.stop());
  t.strictSame(served, [pair], 'the first pair is served at once');
  await sleeping;

  return {
    ...source,
    clock,
    logs,
    served,
    folder,
    certFile,
    keyFile,
    write,
    /** The listener takes no other pair, as long as there is a reason. */
    refuse: (error: Error | undefined) => {
      refusal = error;
    },
    /** Time passes, and it has looked. */
    async look(ms = LOOK_MS): Promise<void> {
      const sleeping = asleep();
      clock.advance(ms);
      await sleeping;
    },
    warnings: () => logs.lines.filter(({ msg }) => msg === WARNING).map(({ reason }) => reason),
  };
}

t.test('a pair that is swapped is served, once', async (t) => {
  const { write, look, served, warnings } = await start(t);
  for (let looks = 0; looks < 3; looks += 1) await look();
  t.strictSame(served, [first], 'the same files are no news');
  for (const pair of [second, third]) {
    await write(pair);
    await look();
    await look();
  }
  t.strictSame(served, [first, second, third]);
  t.strictSame(warnings(), []);
});

t.test('a mounted Secret is swapped as the kubelet does it, by one symbolic link', async (t) => {
  const folder = t.testdir({});
  const mount = async (pair: KeyPair, version: string) => {
    await mkdir(join(folder, version));
    await writeFile(join(folder, version, 'tls.crt'), pair.certificate);
    await writeFile(join(folder, version, 'tls.key'), pair.privateKey);
    await symlink(version, join(folder, '..data_tmp'));
    await rename(join(folder, '..data_tmp'), join(folder, '..data'));
  };
  await mount(first, '..1');
  for (const name of ['tls.crt', 'tls.key']) await symlink(join('..data', name), join(folder, name));
  const [certFile, keyFile] = [join(folder, 'tls.crt'), join(folder, 'tls.key')];
  const { clock, asleep } = sleeper(fakeClock(NOW));
  const served: KeyPair[] = [];
  const source = fileSource({ certFile, keyFile, first, clock, log: testLog().log });
  t.teardown(() => source.stop());
  let sleeping = asleep();
  source.start((pair) => served.push(pair));
  await sleeping;
  await mount(second, '..2');
  sleeping = asleep();
  clock.advance(LOOK_MS);
  await sleeping;
  t.strictSame(served, [first, second]);
});

type World = Awaited<ReturnType<typeof start>>;

/** What goes wrong with the files, and what is said of it. */
const BAD: readonly {
  readonly given: string;
  readonly spoil: (world: World) => Promise<unknown>;
  readonly problem: (world: World) => string;
}[] = [
  {
    given: 'a new certificate without its key',
    spoil: ({ certFile }) => writeFile(certFile, third.certificate),
    problem: ({ certFile, keyFile }) => `${keyFile} is not the key of the first certificate in ${certFile}`,
  },
  {
    given: 'garbage',
    spoil: ({ certFile }) => writeFile(certFile, 'garbage'),
    problem: ({ certFile }) => `${certFile} holds no PEM certificate`,
  },
  {
    given: 'a key that is half written',
    spoil: ({ keyFile }) => writeFile(keyFile, first.privateKey.slice(0, 800)),
    problem: ({ keyFile }) => `${keyFile} holds no PEM private key without a passphrase`,
  },
  {
    given: 'no file',
    spoil: ({ certFile }) => rm(certFile),
    problem: ({ certFile }) =>
      `${certFile} cannot be read: ENOENT: no such file or directory, open '${certFile}'`,
  },
  {
    given: 'a pair that has expired',
    spoil: ({ write }) => write(expired),
    problem: ({ certFile }) => `${certFile} has expired, at 2026-11-20T13:00:00Z`,
  },
  {
    given: 'a key that TLS does not take',
    spoil: ({ write }) => write(tiny),
    problem: ({ certFile }) => `TLS does not take ${certFile}: ee key too small`,
  },
];

for (const { given, spoil, problem } of BAD) {
  t.test(
    `given ${given}, the last good pair is kept, with one warning, until there is a good one`,
    async (t) => {
      const world = await start(t);
      await spoil(world);
      for (let looks = 0; looks < 5; looks += 1) await world.look();
      t.strictSame(world.served, [first]);
      t.strictSame(world.warnings(), [problem(world)]);
      t.equal(world.problem(), problem(world));

      await world.write(second);
      await world.look(30_000);
      t.strictSame(world.served, [first, second]);
      t.equal(world.problem(), undefined);
      t.equal(world.warnings().length, 1);
      await spoil(world);
      await world.look();
      t.equal(world.warnings().length, 2, 'what goes wrong again is told again');
      t.notMatch(world.logs.text(), 'PRIVATE KEY');
      for (const { privateKey } of [first, second, tiny]) {
        t.notMatch(world.logs.text(), privateKey.split('\n')[5] ?? privateKey, 'no key in the log');
      }
    },
  );
}

t.test('the pair that is served has expired in its place: nothing else is there to be served', async (t) => {
  const { look, served, problem } = await start(t);
  await look(8 * DAY);
  t.strictSame(served, [first]);
  t.equal(problem(), undefined, 'that it has expired is told by whoever serves it');
});

t.test('a pair that could not be served is not taken for served', async (t) => {
  const { refuse, write, look, served, problem } = await start(t);
  refuse(new Error('out of memory'));
  await write(second);
  await look();
  await look();
  t.equal(problem(), 'out of memory');
  refuse(undefined);
  await look();
  t.strictSame(served, [first, second]);
  t.equal(problem(), undefined);
});

t.test('stopped, it looks no more', async (t) => {
  const { stop, clock, write, served } = await start(t);
  await stop();
  t.equal(clock.timers(), 0);
  await write(second);
  clock.advance(DAY);
  t.strictSame(served, [first]);
  await fileSource({
    certFile: '',
    keyFile: '',
    first,
    clock,
    log: testLog().log,
  }).stop();
});

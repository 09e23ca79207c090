/** The peer of this ecosystem: Pepr, with a webhook that makes the same lookup. */
import { execFile } from 'node:child_process';
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '../test/support/free-port.ts';

import type { Bench } from './measurement.ts';
import { startProgram } from './program.ts';
import { type Lap, type Runner, race } from './race.ts';
import { fill } from './records.ts';
import { digits, ms, type Section, times } from './report.ts';
import { createDeploys, createSender, type Size, storedRevisions } from './reviews.ts';
import { onStage, REPOSITORY, type Stage } from './stage.ts';
import { untilReady } from './start.ts';
import { median, ratios } from './statistics.ts';

/** The newest of its line. What npm calls the latest, 20.0.0, has the dependencies of 2023. */
const VERSION = '1.1.4';

const SETTINGS: readonly {
  readonly size: Size;
  readonly lanes: number;
  readonly rounds: number;
  readonly asks: number;
}[] = [
  { size: '2 KB', lanes: 1, rounds: 20, asks: 50 },
  { size: '2 KB', lanes: 16, rounds: 6, asks: 160 },
  { size: '60 KB', lanes: 1, rounds: 20, asks: 50 },
];

const API_PATH = 'bench';

type Laps = Readonly<Record<'Pepr' | 'Lockkeeper', Lap>>;

export async function measurePeer({ say }: Bench): Promise<Section> {
  const folder = await install(say).catch((error: Error) => error);
  // There may be no registry to be had, and all the rest was measured.
  if (folder instanceof Error) return notMeasured(folder);
  return onStage(async (stage) => {
    await fill(stage, storedRevisions());
    const lockkeeper = await stage.lockkeeper();
    const pepr = await startPepr(stage, folder);
    const seen: [string, Laps][] = [];
    const deploys = createDeploys();
    for (const { size, lanes, rounds, asks } of SETTINGS) {
      const { caCertificate } = stage;
      const common = { caCertificate, lanes, size, deploys };
      const senders = {
        Pepr: createSender({ ...common, url: pepr, path: `/validate/${API_PATH}` }),
        Lockkeeper: createSender({ ...common, url: lockkeeper.url }),
      } satisfies Record<keyof Laps, Runner>;
      const laps = await race(senders, { rounds, asks, lanes });
      for (const sender of Object.values(senders)) await sender.close();
      seen.push([`${size}, ${lanes === 1 ? 'one call at a time' : `${lanes} at once`}`, laps]);
      say(`${size}, ${lanes} at once: Pepr takes ${times(ratioOf(laps))} what Lockkeeper takes`);
    }
    return section(seen);
  });
}

/** Into a folder of this user, not into this repository. Nothing of what it brings is run to install it. */
async function install(say: Bench['say']): Promise<string> {
  const folder = join(homedir(), '.cache/lockkeeper', `bench-pepr-${VERSION}`);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
  say(`pepr ${VERSION} is installed into a cache, which takes a minute once`);
  const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline'];
  const args = ['install', ...flags, `pepr@${VERSION}`];
  // With the settings of whoever runs it: a registry or an authority of their own.
  await promisify(execFile)('npm', args, { cwd: folder });
  await copyFile(join(REPOSITORY, 'bench/servers/pepr.ts'), join(folder, 'module.ts'));
  return folder;
}

/** Resolves with its URL, when it answers. Its log, some lines for each review, goes nowhere. */
async function startPepr(stage: Stage, folder: string): Promise<string> {
  const { admin, cluster, files } = stage;
  await admin.createNamespace('pepr-system');
  await admin.create('/apis/apiextensions.k8s.io/v1/customresourcedefinitions', STORE);
  while ((await admin.request('GET', '/apis/pepr.dev/v1/peprstores')).code !== 200);
  const port = String(await freePort());
  stage.keep(
    startProgram(join(folder, 'module.ts'), {
      cwd: folder,
      isQuiet: true,
      env: {
        KUBECONFIG: await cluster.kubeconfig({ user: { username: 'alice' } }),
        SSL_CERT_PATH: files.certFile,
        SSL_KEY_PATH: files.keyFile,
        PEPR_API_PATH: API_PATH,
        PEPR_WATCH_MODE: 'false',
        BENCH_PORT: port,
      },
    }),
  );
  await untilReady(port, '/healthz');
  return `https://127.0.0.1:${port}`;
}

/** Pepr’s controller makes it before it loads a module. */
const STORE = {
  metadata: { name: 'peprstores.pepr.dev' },
  spec: {
    group: 'pepr.dev',
    scope: 'Namespaced',
    names: { plural: 'peprstores', singular: 'peprstore', kind: 'PeprStore' },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: {
          openAPIV3Schema: {
            type: 'object',
            properties: { data: { type: 'object', additionalProperties: { type: 'string' } } },
          },
        },
      },
    ],
  },
};

function ratioOf({ Pepr, Lockkeeper }: Laps): number {
  return median(ratios(Pepr.medians, Lockkeeper.medians));
}

const TITLE = 'Beside a webhook of Pepr';

function notMeasured({ message }: Error): Section {
  const [reason = ''] = message.split('\n');
  return { title: TITLE, about: `Not measured in this run: ${reason}.`, tables: [], targets: [] };
}

function section(seen: readonly [string, Laps][]): Section {
  return {
    title: TITLE,
    about: `[Pepr](https://github.com/defenseunicorns/pepr) ${VERSION}, in a process of its own, with a module that looks up the revision below and
refuses if that is pending; so it holds nothing, knows nobody, and makes one read to Lockkeeper’s three. Its client reads
whole Secrets, here with a payload of 4 KB. Its settings are those that it has by itself. It runs without its controller, which
would only unpack the module, and the API server is not between them: both are sent the same reviews.`,
    tables: [
      {
        head: ['Pepr, compared with Lockkeeper', 'p50', 'p99'],
        rows: seen.map(([name, laps]) => [
          name,
          times(ratioOf(laps)),
          times(laps.Pepr.p99 / laps.Lockkeeper.p99),
        ]),
      },
      {
        head: ['', '', 'a second', 'p50', 'p99'],
        rows: seen.flatMap(([name, laps]) =>
          Object.entries(laps).map(([who, lap], index) => [
            index === 0 ? name : '',
            who,
            digits(lap.perSecond),
            ms(lap.p50),
            ms(lap.p99),
          ]),
        ),
      },
    ],
    targets: [],
  };
}

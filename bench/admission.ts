/** What an admission costs that waits for nobody. */
import type { Bench } from './measurement.ts';
import { type Lap, race } from './race.ts';
import { fill } from './records.ts';
import { digits, ms, type Section, type Table, type Target, times } from './report.ts';
import { createDeploys, createSender, type Sender, type Size, storedRevisions } from './reviews.ts';
import { onStage, type Serving, type Stage } from './stage.ts';
import { median, ratios } from './statistics.ts';

export interface Setting {
  readonly size: Size;
  readonly lanes: number;
  readonly rounds: number;
  readonly asks: number;
}

const SETTINGS: readonly Setting[] = [
  { size: '2 KB', lanes: 1, rounds: 50, asks: 100 },
  { size: '2 KB', lanes: 16, rounds: 12, asks: 320 },
  { size: '60 KB', lanes: 1, rounds: 40, asks: 50 },
  { size: '60 KB', lanes: 16, rounds: 10, asks: 320 },
  { size: '1.3 MB', lanes: 1, rounds: 20, asks: 15 },
  { size: '1.3 MB', lanes: 16, rounds: 6, asks: 64 },
];

/** Of the design: one call at a time, as deploys come. */
const MEDIAN_AT_MOST = 1.25;
const P99_AT_MOST = 3;

export type Contestant = 'constant' | 'one read' | 'three reads' | 'Lockkeeper';

export type Laps = Readonly<Record<Contestant, Lap>>;

export async function measureAdmission({ say }: Bench): Promise<Section> {
  return onStage(async (stage) => {
    const contest = await prepareContest(stage);
    const seen: [Setting, Laps][] = [];
    for (const setting of SETTINGS) {
      const laps = await contest(setting);
      seen.push([setting, laps]);
      say(
        `${nameOf(setting)}: Lockkeeper takes ${times(medianRatio(laps, 'one read'))} the route with one read`,
      );
    }
    return section(seen);
  });
}

/** Starts whoever is compared. What is returned has them run. */
export async function prepareContest(stage: Stage): Promise<(setting: Setting) => Promise<Laps>> {
  await fill(stage, storedRevisions());
  const servers: Readonly<Record<Contestant, Serving>> = {
    constant: await stage.server('constant.ts'),
    'one read': await stage.server('lookup.ts'),
    'three reads': await stage.server('lookup.ts', { BENCH_READS: '3' }),
    Lockkeeper: await stage.lockkeeper(),
  };
  const deploys = createDeploys();
  return async ({ size, lanes, rounds, asks }) => {
    const { caCertificate } = stage;
    const senders = Object.fromEntries(
      Object.entries(servers).map(([name, { url }]) => [
        name,
        createSender({ url, caCertificate, lanes, size, deploys }),
      ]),
    ) as Record<Contestant, Sender>;
    const laps = await race(senders, { rounds, asks, lanes });
    for (const sender of Object.values(senders)) await sender.close();
    return laps;
  };
}

/** How many times as long Lockkeeper takes: the median of the rounds' own ratios. */
export function medianRatio(laps: Laps, to: Contestant): number {
  return median(ratios(laps.Lockkeeper.medians, laps[to].medians));
}

/** How many times as long three reads take as one. */
function allReads(laps: Laps): number {
  return median(ratios(laps['three reads'].medians, laps['one read'].medians));
}

const nameOf = ({ size, lanes }: Setting) =>
  `${size}, ${lanes === 1 ? 'one call at a time' : `${lanes} at once`}`;

function section(seen: readonly [Setting, Laps][]): Section {
  return {
    title: 'An admission that waits for nobody',
    about: `The same review to four servers, each a process of its own, over TLS connections that stay open: a Fastify route
that says yes to everything; the same route after one read of one object’s metadata from the real API server, over the
connections that Lockkeeper uses; the same after three such reads at once; and Lockkeeper, which makes those three reads. Its
second read, of the name that is to be created, keeps a forged review from naming a holder
([decisions](decisions.md#holders-and-their-deaths)). Its third read, of the number above, finds a deploy that began after
this client had looked. The ratio of a row is the median of the ratios of its rounds.`,
    tables: [ratioTable(seen), timeTable(seen)],
    remarks: [whereTimeGoes(seen)],
    targets: targetsOf(seen),
  };
}

function ratioTable(seen: readonly [Setting, Laps][]): Table {
  return {
    head: [
      'Lockkeeper, compared with',
      'one read: p50',
      'p99',
      'three reads: p50',
      'p99',
      'constant: p50',
      'three reads with one: p50',
    ],
    rows: seen.map(([setting, laps]) => [
      nameOf(setting),
      times(medianRatio(laps, 'one read')),
      times(laps.Lockkeeper.p99 / laps['one read'].p99),
      times(medianRatio(laps, 'three reads')),
      times(laps.Lockkeeper.p99 / laps['three reads'].p99),
      times(medianRatio(laps, 'constant')),
      times(allReads(laps)),
    ]),
  };
}

/** Of the calls that the targets are about. */
function whereTimeGoes(seen: readonly [Setting, Laps][]): string {
  const [[, laps]] = seen as [[Setting, Laps]];
  return `The target, ${times(MEDIAN_AT_MOST)} of one read, was set when Lockkeeper made one. For small reviews, one at a time, three reads take
${times(allReads(laps))} as long as one here, whoever makes them; all the rest of Lockkeeper, ${times(medianRatio(laps, 'three reads'))} as long as they.`;
}

/** Fewer samples than these have no thousandth. */
const FOR_P999 = 2_000;

function timeTable(seen: readonly [Setting, Laps][]): Table {
  return {
    head: ['', '', 'a second', 'p50', 'p99', 'p99.9'],
    rows: seen.flatMap(([setting, laps]) =>
      Object.entries(laps).map(([name, lap], index) => [
        index === 0 ? nameOf(setting) : '',
        name,
        digits(lap.perSecond),
        ms(lap.p50),
        ms(lap.p99),
        lap.count < FOR_P999 ? '–' : ms(lap.p999),
      ]),
    ),
  };
}

function targetsOf(seen: readonly [Setting, Laps][]): Target[] {
  const [[, laps]] = seen as [[Setting, Laps]];
  const p50 = medianRatio(laps, 'one read');
  const p99 = laps.Lockkeeper.p99 / laps['one read'].p99;
  const about = 'admission, compared with the same route and one read';
  return [
    {
      what: `${about}: median`,
      atMost: times(MEDIAN_AT_MOST),
      seen: times(p50),
      isMet: p50 <= MEDIAN_AT_MOST,
    },
    { what: `${about}: p99`, atMost: times(P99_AT_MOST), seen: times(p99), isMet: p99 < P99_AT_MOST },
  ];
}

/** How soon whoever waits is answered, once the lock is gone. */
import type { Bench } from './measurement.ts';
import { ms, type Section, type Table, type Target } from './report.ts';
import { onStage } from './stage.ts';
import { type Summary, summarize } from './statistics.ts';
import { setScene, type Wait, type Wake } from './wake-up-scene.ts';

const HELD: readonly Wait[] = [
  { waiters: 1, frees: 200 },
  { waiters: 100, frees: 100 },
  { waiters: 1_000, frees: 100 },
];

/** Each of these frees answers all who wait. */
const WAITS: readonly Wait[] = [
  { waiters: 1, frees: 200 },
  { waiters: 100, frees: 10 },
  { waiters: 1_000, frees: 4 },
];

/** Of the design, for a held call. */
const AFTER_EVENT = { p50: 5, p99: 25 };
const AFTER_WRITE = { p50: 10, p99: 50 };

interface Row {
  readonly who: string;
  readonly fromEvent: Summary;
  readonly fromWrite: Summary;
}

export async function measureWakeUp({ say }: Bench): Promise<Section> {
  return onStage(async (stage) => {
    const scene = await setScene(stage);
    try {
      const rows: Row[] = [];
      for (const wait of HELD) {
        rows.push(rowOf(`held calls: ${wait.waiters}`, await scene.held(wait)));
        say(`${wait.waiters} held: answered ${ms(rows.at(-1)?.fromEvent.p50 ?? 0)} after the event`);
      }
      for (const wait of WAITS) {
        rows.push(rowOf(`waits over REST: ${wait.waiters}`, await scene.waits(wait)));
        say(
          `${wait.waiters} wait over REST: answered ${ms(rows.at(-1)?.fromEvent.p50 ?? 0)} after the event`,
        );
      }
      return section(rows, scene.unread());
    } finally {
      await scene.close();
    }
  });
}

function rowOf(who: string, wakes: readonly Wake[]): Row {
  return {
    who,
    fromEvent: summarize(wakes.map(({ fromEvent }) => fromEvent)),
    fromWrite: summarize(wakes.map(({ fromWrite }) => fromWrite)),
  };
}

function section(rows: readonly Row[], unread: number): Section {
  return {
    title: 'From a freed lock to the answer',
    about: `A write gives the record that is the lock the status \`deployed\`. Measured is the time from sending that write, and
from the event of a watch, to the answer that whoever waits reads. The watch is the bench’s own, with the selector of
Lockkeeper’s and in another process: it stands in for the arrival in Lockkeeper, and may be earlier or later. Held calls are
deploys in the gate, each of which waits for a release of its own (\`LOCKKEEPER_MAX_HELD=2000\`); they are let go one after the
other while so many others wait, and each answer takes the three fresh reads of an admission. Waits over REST are all for one
release, and one write lets all of them go.`,
    tables: [tableOf(rows)],
    remarks: [
      `Held calls that were answered with 500, because the cluster could not be read in time: ${unread}.`,
    ],
    targets: targetsOf(rows),
  };
}

function tableOf(rows: readonly Row[]): Table {
  return {
    head: [
      'who waits',
      'answers',
      'after the event: p50',
      'p99',
      'slowest',
      'after the write: p50',
      'p99',
      'slowest',
    ],
    rows: rows.map(({ who, fromEvent, fromWrite }) => [
      who,
      String(fromEvent.count),
      ...[fromEvent, fromWrite].flatMap(({ p50, p99, max }) => [ms(p50), ms(p99), ms(max)]),
    ]),
  };
}

function targetsOf(rows: readonly Row[]): Target[] {
  const [alone] = rows as [Row];
  const one = (what: string, value: number, limit: number): Target => ({
    what: `held call: ${what}`,
    atMost: ms(limit),
    seen: ms(value),
    isMet: value <= limit,
  });
  return [
    one('answered after the event, median', alone.fromEvent.p50, AFTER_EVENT.p50),
    one('after the event, p99', alone.fromEvent.p99, AFTER_EVENT.p99),
    one('after the write, median', alone.fromWrite.p50, AFTER_WRITE.p50),
    one('after the write, p99', alone.fromWrite.p99, AFTER_WRITE.p99),
  ];
}

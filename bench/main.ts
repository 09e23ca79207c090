/**
 * `npm run bench`: what Lockkeeper takes of time and memory, beside what could be there in its place, on a real API server.
 * docs/performance.md is what it printed in one run.
 */
import { access, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { measureAdmission } from './admission.ts';
import { runCheck } from './check.ts';
import { measureCost } from './cost.ts';
import { describeMachine } from './machine.ts';
import type { Measure } from './measurement.ts';
import { measureMemory } from './memory.ts';
import { MEASUREMENTS, type MeasurementName, type Options, readOptions } from './options.ts';
import { measurePeer } from './peer.ts';
import { page, type Section, sectionText } from './report.ts';
import { MAIN, REPOSITORY } from './stage.ts';
import { measureStart } from './start.ts';
import { measureWakeUp } from './wake-up.ts';

const HELP = `npm run bench [-- NAME…] [--full] [--write]
npm run bench -- --check

Measures what Lockkeeper takes of time and memory, beside what could be in its place, on a real API server.
Run \`npm run build\` first: it is dist that is measured.

  NAME     one of ${MEASUREMENTS.join(', ')}; default: all
  --full   100,000 records for memory, not just 10,000; takes some minutes more, and 6 GB
  --write  writes docs/performance.md
  --check  a minute of ratios with generous bounds; exit code 1 when one is missed`;

const PAGE = join(REPOSITORY, 'docs/performance.md');

const ALL: Readonly<Record<MeasurementName, Measure>> = {
  admission: measureAdmission,
  'wake-up': measureWakeUp,
  start: measureStart,
  cost: measureCost,
  memory: measureMemory,
  peer: measurePeer,
};

const say = (line: string) => void process.stderr.write(`${line}\n`);

async function main(options: Options | string): Promise<number> {
  if (typeof options === 'string') {
    say(`${options}\nSee: npm run bench -- --help`);
    return 2;
  }
  if (options.help) {
    process.stdout.write(`${HELP}\n`);
    return 0;
  }
  if (!(await isBuilt())) {
    say('there is no dist to be measured: npm run build');
    return 2;
  }
  return options.check ? runCheck(say) : measure(options);
}

async function measure({ chosen, full, write }: Options): Promise<number> {
  const from = performance.now();
  const sections: Section[] = [];
  for (const name of chosen) {
    say(`${name} …`);
    const section = await ALL[name]({ full, say });
    // Half an hour is a long time for a later one to fail in.
    say(`\n${sectionText(section)}\n`);
    sections.push(section);
  }
  const text = page(
    {
      command: `npm run bench -- ${process.argv.slice(2).join(' ')}`.replace(/ -- $/, ''),
      date: new Date().toISOString().slice(0, 10),
      minutes: Math.round((performance.now() - from) / 60_000),
      machine: await describeMachine(),
    },
    sections,
  );
  if (write) await writeFile(PAGE, text);
  else process.stdout.write(text);
  return 0;
}

function isBuilt(): Promise<boolean> {
  return access(MAIN).then(
    () => true,
    () => false,
  );
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
process.exitCode = await main(readOptions(process.argv.slice(2)));

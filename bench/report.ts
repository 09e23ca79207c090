/** What a measurement found, and how that is written down: ratios first, then times. */

export interface Table {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** Something that the design promises, and what was seen of it. */
export interface Target {
  readonly what: string;
  readonly atMost: string;
  readonly seen: string;
  readonly isMet: boolean;
}

export interface Section {
  readonly title: string;
  /** How it was measured, in Markdown. */
  readonly about: string;
  readonly tables: readonly Table[];
  /** What the tables do not say of themselves, in Markdown. */
  readonly remarks?: readonly string[];
  readonly targets: readonly Target[];
}

/** What was measured, when, by whom. */
export interface Occasion {
  readonly command: string;
  /** Such as `2026-11-23`. */
  readonly date: string;
  readonly minutes: number;
  /** Of the machine and the programs, a line each. */
  readonly machine: readonly string[];
}

/** docs/performance.md */
export function page(occasion: Occasion, sections: readonly Section[]): string {
  const targets = sections.flatMap((section) => section.targets);
  return `${[
    '# Performance',
    `Made by \`${occasion.command}\` on ${occasion.date}, in one run of ${occasion.minutes} minutes, everything side by side on one machine:
the API server and etcd, what is measured, and whoever asks. So the ratios are worth more than the times, and come first.
Whatever is compared took turns, so that a busy moment hits both.`,
    occasion.machine.map((line) => `- ${line}`).join('\n'),
    ...(targets.length > 0 ? ['## The targets', targetTable(targets)] : []),
    ...sections.map(sectionText),
  ].join('\n\n')}\n`;
}

function targetTable(targets: readonly Target[]): string {
  return markdown({
    head: ['', 'at most', 'seen', ''],
    rows: targets.map(({ what, atMost, seen, isMet }) => [what, atMost, seen, isMet ? 'met' : '**missed**']),
  });
}

/** A section as it stands on the page, and as it is printed when it is finished. */
export function sectionText({ title, about, tables, remarks = [] }: Section): string {
  return [`## ${title}`, about, ...tables.map(markdown), ...remarks].join('\n\n');
}

export function markdown({ head, rows }: Table): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  // Numbers are compared from below; the first column says what they are of.
  const rule = head.map((_, column) => (column === 0 ? '---' : '--:'));
  return [head, rule, ...rows].map(line).join('\n');
}

/** Such as `1.25 ×`. */
export function times(ratio: number): string {
  return `${digits(ratio)} ×`;
}

/** Such as `1.25 ms`. */
export function ms(milliseconds: number): string {
  return `${digits(milliseconds)} ms`;
}

/** Such as `94.1 MB`; a million bytes are one. */
export function megabytes(bytes: number): string {
  return `${digits(bytes / 1e6)} MB`;
}

/** Such as `12.3 KB`, or MB when it is more than a thousand of those. */
export function bytes(count: number): string {
  return count < 1e6 ? `${digits(count / 1e3)} KB` : megabytes(count);
}

/** Three digits that count, and no more; what was not measured is a dash. */
export function digits(value: number): string {
  if (!Number.isFinite(value)) return '–';
  const whole = Math.abs(value) >= 1 ? Math.floor(Math.log10(Math.abs(value))) + 1 : 1;
  return value.toFixed(Math.max(0, 3 - whole));
}

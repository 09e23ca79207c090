/** Tells the story: chapters, commands, claims; on a terminal also a live line of who waits for whom. */
import type { WriteStream } from 'node:tty';

/** What is claimed was not seen: the demo ends here. */
export class ClaimError extends Error {
  constructor(expected: string, seen: string) {
    super(`expected: ${expected}\n    seen: ${seen}`);
    this.name = 'ClaimError';
  }
}

export interface Narrator {
  title(text: string): void;
  chapter(text: string): void;
  /** Why what comes next is done. */
  say(text: string): void;
  command(user: string, line: string): void;
  /** What a program printed, indented. */
  quote(text: string): void;
  /** Says what is seen, or ends the demo with what was expected and what was seen instead. */
  claim(expected: string, holds: boolean, seen: unknown): void;
  /** Somebody waits: shown until the returned function is called. Plain output gets one line at its start. */
  waiting(text: string): () => void;
  failure(text: string): void;
  /** Nobody waits any more, and nothing more is said. */
  end(): void;
  hasEnded(): boolean;
}

export interface NarratorOptions {
  readonly out: Pick<WriteStream, 'write' | 'isTTY' | 'columns'>;
  /** Milliseconds, for the live line. */
  readonly now: () => number;
  /** False where CI or NO_COLOR is set, or where nobody looks. */
  readonly live: boolean;
}

const REFRESH_MS = 100;

const QUOTE_INDENT = ' '.repeat(11);

/** Where nobody looks, lines are as long as they are: they are read by grep. */
const UNLIMITED = Number.POSITIVE_INFINITY;

export function createNarrator({ out, now, live }: NarratorOptions): Narrator {
  const paint = (code: number) => (text: string) => (live ? `\x1b[${code}m${text}\x1b[0m` : text);
  const [bold, red, green, yellow, dim] = [1, 31, 32, 33, 2].map(paint) as [
    Paint,
    Paint,
    Paint,
    Paint,
    Paint,
  ];
  const waits = new Map<symbol, { text: string; since: number }>();
  const width = live ? out.columns : UNLIMITED;
  let shown = 0;
  let ended = false;

  function line(text: string): void {
    if (ended) return;
    erase();
    out.write(`${text}\n`);
    draw();
  }

  function erase(): void {
    if (shown > 0) out.write(`\x1b[${shown}A\x1b[J`);
    shown = 0;
  }

  function draw(): void {
    if (!live) return;
    for (const { text, since } of waits.values()) {
      const clock = `${((now() - since) / 1000).toFixed(1)}s`;
      const room = Math.max(10, width - clock.length - 8);
      out.write(`  ${yellow(`◷ ${text.slice(0, room)} · ${clock}`)}\n`);
      shown += 1;
    }
  }

  function redraw(): void {
    erase();
    draw();
  }

  let timer: NodeJS.Timeout | undefined;

  return {
    title: (text) => line(bold(text)),
    chapter: (text) => line(`\n${bold(text)}`),
    say: (text) => line(`  ${text}`),
    command: (user, text) =>
      line(`  ${dim(user.padEnd(6))} ${dim('$')} ${text.replaceAll('\n', `\n${QUOTE_INDENT}`)}`),
    quote: (text) => {
      const parts = text.trim().split('\n');
      for (const part of parts.flatMap((long) => wrap(long, width - QUOTE_INDENT.length))) {
        line(`${QUOTE_INDENT}${dim(part)}`);
      }
    },
    claim(expected, holds, seen) {
      if (!holds) throw new ClaimError(expected, typeof seen === 'string' ? seen : JSON.stringify(seen));
      line(`  ${green('✓')} ${expected}`);
    },
    waiting(text) {
      const key = Symbol(text);
      if (!live) line(`  … ${text}`);
      waits.set(key, { text, since: now() });
      if (live) timer ??= setInterval(redraw, REFRESH_MS);
      redraw();
      return () => {
        waits.delete(key);
        redraw();
        if (waits.size > 0) return;
        clearInterval(timer);
        timer = undefined;
      };
    },
    failure: (text) => line(`  ${red('✗')} ${text}`),
    hasEnded: () => ended,
    end() {
      ended = true;
      waits.clear();
      clearInterval(timer);
      erase();
    },
  };
}

type Paint = (text: string) => string;

/** Lines of at most `width` characters, broken between words. */
function wrap(text: string, width: number): string[] {
  if (text.length <= width) return [text]; // a table keeps its columns
  const lines = [''];
  for (const word of text.split(/\s+/)) {
    const last = lines.at(-1) ?? '';
    if (last !== '' && last.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = last === '' ? word : `${last} ${word}`;
  }
  return lines;
}

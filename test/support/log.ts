/** Lockkeeper's log, read as it comes: from a process, or from a logger in this one. */
import type { Logger } from 'pino';
import { createLog } from '../../src/log.ts';

export interface LogLine {
  readonly level: number;
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export interface LogReader {
  /** Takes what was printed, in pieces of any size; what is not JSON is kept in `text` only. */
  write(text: string): void;
  readonly lines: readonly LogLine[];
  /** All that was printed. */
  text(): string;
  /** The first line, past or to come, with this message that fits. */
  line(msg: string, matches?: (line: LogLine) => boolean): Promise<LogLine>;
  /** The same, of the lines to come. */
  nextLine(msg: string, matches?: (line: LogLine) => boolean): Promise<LogLine>;
  /** Called with every line to come. */
  onLine(listener: (line: LogLine) => void): void;
  messages(): string[];
}

export function createLogReader(): LogReader {
  const lines: LogLine[] = [];
  const listeners = new Set<(line: LogLine) => void>();
  let all = '';
  let rest = '';

  function nextLine(msg: string, matches = (_line: LogLine) => true): Promise<LogLine> {
    return new Promise((resolve) => {
      const listener = (line: LogLine) => {
        if (line.msg !== msg || !matches(line)) return;
        listeners.delete(listener);
        resolve(line);
      };
      listeners.add(listener);
    });
  }

  return {
    lines,
    text: () => all,
    write(text) {
      all += text;
      const parts = `${rest}${text}`.split('\n');
      rest = parts.pop() ?? '';
      for (const part of parts.filter((candidate) => candidate.startsWith('{'))) {
        const line = JSON.parse(part) as LogLine;
        lines.push(line);
        for (const listener of listeners) listener(line);
      }
    },
    async line(msg, matches = () => true) {
      return lines.find((line) => line.msg === msg && matches(line)) ?? nextLine(msg, matches);
    },
    nextLine,
    onLine: (listener) => {
      listeners.add(listener);
    },
    messages: () => lines.map(({ msg }) => msg),
  };
}

export interface TestLog extends LogReader {
  readonly log: Logger;
}

/** A real logger, and what it wrote. */
export function testLog(level = 'debug'): TestLog {
  const reader = createLogReader();
  return { ...reader, log: createLog(level, reader) };
}

/** A real pino logger whose lines can be read, and waited for. */
import { EventEmitter, on } from 'node:events';
import { type Logger, pino } from 'pino';

export interface LogLine {
  readonly level: number;
  readonly time: number;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export interface TestLog {
  readonly log: Logger;
  readonly lines: LogLine[];
  /** The first line, past or to come, with this message. */
  line(msg: string, matches?: (line: LogLine) => boolean): Promise<LogLine>;
  messages(): string[];
}

export function testLog(level = 'debug'): TestLog {
  const lines: LogLine[] = [];
  const events = new EventEmitter();
  events.setMaxListeners(0);
  const log = pino(
    { level, base: null },
    {
      write(text: string) {
        lines.push(JSON.parse(text));
        events.emit('line');
      },
    },
  );

  return {
    log,
    lines,
    async line(msg, matches = () => true) {
      const find = () => lines.find((line) => line.msg === msg && matches(line));
      const later = on(events, 'line');
      for (let found = find(); ; found = find()) {
        if (found !== undefined) {
          await later.return?.();
          return found;
        }
        await later.next();
      }
    },
    messages: () => lines.map(({ msg }) => msg),
  };
}

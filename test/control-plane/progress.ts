/** One line that says how far something is: rewritten in place on a terminal, now and then elsewhere. */
import type { WriteStream } from 'node:tty';

export interface ProgressLine {
  show(text: string): void;
  /** Leaves the last one standing. */
  end(): void;
}

/** In a log, a line this often shows that it goes on and does not fill it. */
const LOG_EVERY_MS = 15_000;

export function progressLine(stream: Pick<WriteStream, 'isTTY' | 'write'>, now = Date.now): ProgressLine {
  let pending: string | undefined;
  let writtenAt = Number.NEGATIVE_INFINITY;
  return {
    show(text) {
      pending = text;
      if (stream.isTTY) {
        stream.write(`\r\x1b[2K${text}`);
      } else if (now() - writtenAt >= LOG_EVERY_MS) {
        stream.write(`${text}\n`);
        writtenAt = now();
        pending = undefined;
      }
    },
    end() {
      if (pending !== undefined) stream.write(stream.isTTY ? '\n' : `${pending}\n`);
      pending = undefined;
    },
  };
}

/** Lockkeeper's own log, read line by line as it comes. */

export interface LogLine {
  readonly time: number;
  readonly msg: string;
  readonly revision?: number;
  readonly client?: string;
  readonly code?: number;
  readonly elapsedMs?: number;
  readonly waitedMs?: number;
  readonly port?: number;
  readonly lock?: { readonly revision: number; readonly status: string; readonly holder: string };
}

export interface Log {
  /** Takes what the process printed, in pieces of any size. */
  write(text: string): void;
  readonly lines: readonly LogLine[];
  /** All of it, for the reader of a failure. */
  text(): string;
  /** The first line with this message that fits, from line number `from` on; it may be there already. */
  line(msg: string, from?: number): Promise<LogLine>;
  /** Called with every line to come. */
  onLine(listener: (line: LogLine) => void): void;
}

export function createLog(): Log {
  const lines: LogLine[] = [];
  const listeners = new Set<(line: LogLine) => void>();
  let all = '';
  let rest = '';

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
    line(msg, from = 0) {
      const found = lines.slice(from).find((line) => line.msg === msg);
      if (found !== undefined) return Promise.resolve(found);
      return new Promise((resolve) => {
        const listener = (line: LogLine) => {
          if (line.msg !== msg) return;
          listeners.delete(listener);
          resolve(line);
        };
        listeners.add(listener);
      });
    },
    onLine: (listener) => {
      listeners.add(listener);
    },
  };
}

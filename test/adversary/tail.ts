/** The audit log, read as it grows. The API server begins a new file after each 100 MB, beside which the old one stays. */
import { type FileHandle, open, stat } from 'node:fs/promises';
import { type Entry, readEntry } from './log.ts';

export interface AuditTail {
  /** The entries that came since the last call. */
  more(): Promise<Entry[]>;
  close(): Promise<void>;
}

const PIECE_BYTES = 1 << 20;

/** Begins at the end of what is there. */
export async function followAuditLog(path: string): Promise<AuditTail> {
  let file = await open(path);
  let position = (await file.stat()).size;
  let rest = Buffer.alloc(0);

  async function readOn(from: FileHandle, entries: Entry[]): Promise<void> {
    const piece = Buffer.alloc(PIECE_BYTES);
    for (;;) {
      const { bytesRead } = await from.read(piece, 0, PIECE_BYTES, position);
      if (bytesRead === 0) return;
      position += bytesRead;
      const all = Buffer.concat([rest, piece.subarray(0, bytesRead)]);
      const end = all.lastIndexOf('\n') + 1;
      rest = all.subarray(end);
      const lines = all.toString('utf8', 0, end).split('\n');
      entries.push(...lines.map(readEntry).filter((entry) => entry !== undefined));
    }
  }

  return {
    async more() {
      const entries: Entry[] = [];
      await readOn(file, entries);
      if ((await stat(path)).ino === (await file.stat()).ino) return entries;
      await readOn(file, entries);
      await file.close();
      file = await open(path);
      position = 0;
      await readOn(file, entries);
      return entries;
    },
    close: () => file.close(),
  };
}

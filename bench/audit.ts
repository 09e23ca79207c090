/** What the API server was asked while something was measured. Its log may be long: only what is new is read. */
import { open, stat } from 'node:fs/promises';
import type { AuditEvent } from '../test/control-plane/audit.ts';
import type { Stage } from './stage.ts';

/** What is asked for from now on. */
export async function listenToAudit({ cluster: { auditLog } }: Pick<Stage, 'cluster'>) {
  const { size: from } = await stat(auditLog);
  return {
    /** Requests that came in since then; a watch is one, however often it tells of its beginning and its end. */
    async events(): Promise<AuditEvent[]> {
      const file = await open(auditLog);
      try {
        const { size } = await file.stat();
        const { buffer } = await file.read(Buffer.alloc(size - from), 0, size - from, from);
        // The last line may be half-written.
        const lines = buffer.toString('utf8').split('\n').slice(0, -1);
        const events = lines.map((line): AuditEvent => JSON.parse(line));
        return [...new Map(events.map((event) => [event.auditID, event])).values()];
      } finally {
        await file.close();
      }
    },
  };
}

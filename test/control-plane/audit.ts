/** What the API server notes of each request: who asked for what, and what came of it. */
import { readFile } from 'node:fs/promises';
import type { ControlPlane } from '../clusters/control-plane/cluster.ts';

/** As far as tests look into it: https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/ */
export interface AuditEvent {
  readonly auditID: string;
  readonly stage: string;
  readonly verb: string;
  readonly requestURI: string;
  readonly user: { readonly username: string };
  readonly userAgent?: string;
  readonly objectRef?: {
    readonly apiGroup?: string;
    readonly resource: string;
    readonly subresource?: string;
    readonly namespace?: string;
    readonly name?: string;
  };
  readonly responseStatus?: { readonly code: number };
  readonly requestReceivedTimestamp: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** All that ended until now, and what is still under way if it is a watch; since the API server started. */
export async function auditEvents({ auditLog }: Pick<ControlPlane, 'auditLog'>): Promise<AuditEvent[]> {
  const text = await readFile(auditLog, 'utf8');
  // The last line may be half-written.
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));
}

/** The answer to one request: JSON, plain, or a stream; or the connection ends in its place. */
import { randomUUID } from 'node:crypto';
import type { OutgoingHttpHeader, ServerResponse } from 'node:http';
import type { Status } from './status.ts';
import { warningHeaders } from './warnings.ts';

export interface Stream {
  readonly write: (line: string) => void;
  readonly end: () => void;
}

/** One answer is given, by one of `json`, `plain` and `stream`. */
export interface Reply {
  json(code: number, body: object, warnings: readonly string[]): void;
  plain(code: number, type?: string, content?: string): void;
  /** A stream of JSON; its headers are sent at once. */
  stream(): Stream;
  /** The answer that is yet to come is lost: the connection is destroyed instead. */
  lose(): void;
  /** Says this again and again, as fast as it is read, until the client leaves. */
  babble(text: string): void;
}

export function createReply(outgoing: ServerResponse, now: () => number): Reply {
  let isLost = false;

  /** Sends the headers, unless the answer is lost. */
  function begin(code: number, headers: Record<string, OutgoingHttpHeader>): boolean {
    if (isLost) outgoing.destroy();
    // Node's own Date would be the machine's; Go sends one with every answer.
    else outgoing.writeHead(code, { date: new Date(now()).toUTCString(), ...headers });
    return !isLost;
  }

  return {
    json(code, body, warnings) {
      // Bytes: Node would send the headers in the encoding of a string, and so spoil what warnings.ts encoded.
      const content = Buffer.from(`${JSON.stringify(body)}\n`);
      const retryAfter = (body as Partial<Status>).details?.retryAfterSeconds;
      const headers = {
        'audit-id': randomUUID(),
        'cache-control': 'no-cache, private',
        'content-type': 'application/json',
        'content-length': content.length,
        ...(warnings.length > 0 && { warning: warningHeaders(warnings) }),
        ...(retryAfter !== undefined && { 'retry-after': String(retryAfter) }),
      };
      if (begin(code, headers)) outgoing.end(content);
    },
    plain(code, type, content) {
      if (begin(code, type === undefined ? {} : { 'content-type': type })) outgoing.end(content);
    },
    stream() {
      const headers = { 'content-type': 'application/json', 'cache-control': 'no-cache, private' };
      if (!begin(200, headers)) return { write: () => {}, end: () => {} };
      // Clients wait for the headers to know that the watch stands.
      outgoing.flushHeaders();
      return { write: (line) => void outgoing.write(line), end: () => void outgoing.end() };
    },
    lose() {
      isLost = true;
    },
    babble(text) {
      if (!begin(200, { 'content-type': 'application/json' })) return;
      const more = () => {
        if (!outgoing.destroyed) outgoing.write(text, more);
      };
      more();
    },
  };
}

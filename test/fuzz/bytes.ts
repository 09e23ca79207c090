/** What goes over a connection when nobody keeps to HTTP: requests that are cut, bent and mixed. */
import { connect } from 'node:tls';
import fc from 'fast-check';
import { reviews } from './reviews.ts';
import { rarely } from './values.ts';

const REQUEST_LINES = [
  'POST /admission HTTP/1.1',
  'POST /admission?timeout=10s HTTP/1.1',
  'POST https://elsewhere.example/admission HTTP/1.1',
  'POST /admission HTTP/1.0',
  'POST /admission HTTP/2.0',
  'POST /admission',
  'GET /admission HTTP/1.1',
  'CONNECT 10.0.0.1:443 HTTP/1.1',
  'OPTIONS * HTTP/1.1',
  'PRI * HTTP/2.0',
  'GET /livez HTTP/1.1',
  'GET /livez\u0000 HTTP/1.1',
  'get /livez http/1.1',
  '\u0016\u0003\u0001',
  '',
];

const HEADERS = [
  'Content-Type: application/json',
  'Content-Type: application/json; charset=utf-16',
  'Content-Type: text/plain',
  'Content-Type: application/x-www-form-urlencoded',
  'Content-Type: application/vnd.kubernetes.protobuf',
  'Content-Type:',
  'Content-Encoding: gzip',
  'Expect: 100-continue',
  'Expect: a miracle',
  'Upgrade: websocket\r\nConnection: Upgrade',
  'Connection: close',
  'Connection: keep-alive, keep-alive',
  'Transfer-Encoding: chunked',
  'Transfer-Encoding: gzip, chunked',
  'Transfer-Encoding : chunked',
  'Content-Length: 0',
  'Content-Length: -1',
  'Content-Length: 10',
  'Content-Length: 99999999',
  'Content-Length: 99999999999999999999999',
  'Content-Length: 1\r\nContent-Length: 2',
  'Host: a\r\nHost: b',
  ' folded: line',
  'No colon',
  'X: \u0000',
  `X: ${'a'.repeat(20_000)}`,
  ...Array.from({ length: 3 }, () => Array(400).fill('A: b').join('\r\n')),
];

/** Bytes that are no UTF-8, or no text. */
const ODD_BYTES = [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0x00], [0x80], [0x0d, 0x0a, 0x0d, 0x0a]];

export interface RawRequest {
  /** In base64. */
  readonly bytes: string;
  /** What it says, as far as it is a review. */
  readonly text: string;
}

/** A whole request is cut or bent, now and then, and more may follow it. */
export const rawRequests: fc.Arbitrary<RawRequest> = fc
  .record({
    line: fc.oneof(
      { weight: 3, arbitrary: fc.constant(REQUEST_LINES[0] as string) },
      fc.constantFrom(...REQUEST_LINES),
    ),
    headers: fc.subarray(HEADERS, { maxLength: 3 }),
    isLengthTold: fc.boolean(),
    text: reviews,
    odd: rarely(fc.tuple(fc.constantFrom(...ODD_BYTES), fc.double({ min: 0, max: 1, noNaN: true }))),
    keptShare: rarely(fc.double({ min: 0, max: 1, noNaN: true })),
    times: fc.constantFrom(1, 1, 1, 2, 5),
  })
  .map(({ line, headers, isLengthTold, text, odd, keptShare = 1, times }) => {
    const body = odd ? insert(Buffer.from(text), ...odd) : Buffer.from(text);
    const length = isLengthTold ? [`Content-Length: ${body.length}`, 'Content-Type: application/json'] : [];
    const head = Buffer.from(
      [line, 'Host: lockkeeper', ...headers, ...length, '', ''].join('\r\n'),
      'latin1',
    );
    const whole = Buffer.concat(Array.from({ length: times }, () => [head, body]).flat());
    const bytes = whole.subarray(0, Math.ceil(whole.length * keptShare));
    return { bytes: bytes.toString('base64'), text: body.toString() };
  });

function insert(into: Buffer, bytes: readonly number[], share: number): Buffer {
  const at = Math.floor(into.length * share);
  return Buffer.concat([into.subarray(0, at), Buffer.from(bytes), into.subarray(at)]);
}

/** Whoever has not answered by then is taken to wait for the rest of a request; and is told that there is none. */
const QUIET_MS = 20;

/** Sends the bytes, and hangs up when nothing comes back any more. Resolves to what came, when it is closed on both sides. */
export function exchange(
  { port, ca }: { readonly port: number; readonly ca: string },
  bytes: Buffer,
  signal: AbortSignal,
): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = connect({ host: '127.0.0.1', port, ca });
  const chunks: Buffer[] = [];
  const abort = () => {
    reject(signal.reason);
    socket.destroy();
  };
  signal.addEventListener('abort', abort, { once: true });
  socket.on('data', (chunk) => chunks.push(chunk));
  // Whoever sends what nobody understands may be cut off.
  socket.on('error', () => {});
  socket.on('timeout', () => socket.end());
  socket.on('close', () => {
    signal.removeEventListener('abort', abort);
    resolve(Buffer.concat(chunks).toString('latin1'));
  });
  socket.write(bytes, () => socket.setTimeout(QUIET_MS));
  return promise;
}

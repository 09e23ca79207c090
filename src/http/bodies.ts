/**
 * How much of what is sent may be in hand at once. Anybody who reaches the port may send reviews of 7 MiB, as many as they
 * like, and need not be in a hurry; and what was sent stays in hand until it is answered, or let go of.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';

export interface BodyLimits {
  /** Of all that is in hand. */
  readonly maxBytes: number;
  /** Of what comes from one address, so that whoever floods us leaves room for others. */
  readonly maxBytesOfOne: number;
  /** For what does not say how long it is; none can be longer. */
  readonly unsaidBytes: number;
  /** How long a body may be on its way. */
  readonly arrivalMs: number;
}

/** Soon: an API server asks again by itself, up to ten times, and its own caller waits for it (docs/decisions.md). */
const RETRY_AFTER_SECONDS = '1';

/** Gives back what a request has of what may be in hand. */
const shares = new WeakMap<FastifyRequest, () => void>();

/** For a request that was read, and is answered much later. Its body is undefined from now on. */
export function letGoOfBody(request: FastifyRequest): void {
  request.body = undefined;
  shares.get(request)?.();
}

export function limitBodies(app: FastifyInstance, limits: BodyLimits): void {
  const { maxBytes, maxBytesOfOne, arrivalMs } = limits;
  const inHand = new Map<string, number>();
  let total = 0;

  function take(who: string, bytes: number): void {
    const left = (inHand.get(who) ?? 0) + bytes;
    if (left === 0) inHand.delete(who);
    else inHand.set(who, left);
    total += bytes;
  }

  app.addHook('onRequest', (request, reply, done) => {
    const bytes = announced(request, limits);
    if (bytes === 0) return done();
    const { ip } = request;
    if (total + bytes > maxBytes || (inHand.get(ip) ?? 0) + bytes > maxBytesOfOne) {
      request.log.warn({ ip, bytes, total }, 'too much was sent at once, and more was refused');
      reply.code(503).headers({ 'retry-after': RETRY_AFTER_SECONDS, connection: 'close' });
      reply.type('text/plain; charset=utf-8').send('lockkeeper has too much to read. Nothing was changed.');
      return;
    }
    take(ip, bytes);
    let share = bytes;
    const giveBack = () => {
      take(ip, -share);
      share = 0;
    };
    shares.set(request, giveBack);
    const giveUp = setTimeout(() => request.raw.complete || request.raw.destroy(), arrivalMs);
    reply.raw.once('close', () => {
      clearTimeout(giveUp);
      giveBack();
    });
    done();
  });
}

/** What it will take, as it says before it is read. What says more than may be is refused, unread. */
function announced({ raw: { headers } }: FastifyRequest, { unsaidBytes }: BodyLimits): number {
  const isChunked = headers['transfer-encoding'] !== undefined;
  return isChunked ? unsaidBytes : Math.min(Number(headers['content-length'] ?? 0), unsaidBytes);
}

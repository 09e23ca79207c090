/**
 * How much memory all that is sent may take at once. Who may send reviews may send many of 7 MiB, and need not be in a hurry; and
 * what was sent stays in hand until it is answered, or let go of.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

export interface BodyLimits {
  /** In bytes, of all that is in hand: see {@link memoryOf}. */
  readonly maxMemory: number;
  /** Of what comes from one address, so that one sender who floods us leaves room for others. */
  readonly maxMemoryOfOne: number;
  /** For what does not say how long it is; of what is longer, no more is kept. */
  readonly unsaidBytes: number;
  /** How long a body may be on its way. */
  readonly arrivalMs: number;
}

/** How a body is built, as far as it takes memory. */
export interface BodyStructure {
  /** Of `{`, `[`, `:` and `,` outside of strings. */
  readonly marks: number;
  /** Whether each character is one byte, in memory, too. */
  readonly isAscii: boolean;
}

/** The bytes as they came, as one text, and as the texts that are made of it. */
const COPIES = 3;

/** V8 takes two bytes for each character of a text that has others than those of Latin-1; of these copies, two are text. */
const TEXT_COPIES = 2;

/** What JSON.parse was seen to make of one, at most: an object with one member. */
const BYTES_A_MARK = 100;

/** Of a body of this length; how it is built is known when it was read. */
export function memoryOf(
  bytes: number,
  { marks, isAscii }: BodyStructure = { marks: 0, isAscii: true },
): number {
  return (isAscii ? COPIES : COPIES + TEXT_COPIES) * bytes + BYTES_A_MARK * marks;
}

/** Soon: an API server asks again by itself, up to ten times, and its own caller waits for it (docs/decisions.md). */
const RETRY_AFTER_SECONDS = '1';

/** What a request has of the memory that may be taken. */
interface Share {
  /** Has so much from now on; false if that is too much, and nothing has changed. */
  take(memory: number): boolean;
  giveBack(): void;
}

const shares = new WeakMap<FastifyRequest, Share>();

/** For a request that was read, and is answered much later. Its body is undefined from now on. */
export function letGoOfBody(request: FastifyRequest): void {
  request.body = undefined;
  shares.get(request)?.giveBack();
}

/** Whether a body that has come may be parsed now. */
export function mayParse(request: FastifyRequest, bytes: number, structure: BodyStructure): boolean {
  return shares.get(request)?.take(memoryOf(bytes, structure)) ?? true;
}

export function refuseTooMuch(reply: FastifyReply): FastifyReply {
  reply.code(503).headers({ 'retry-after': RETRY_AFTER_SECONDS, connection: 'close' });
  return reply
    .type('text/plain; charset=utf-8')
    .send('lockkeeper has too much to read. Nothing was changed.');
}

export function limitBodies(app: FastifyInstance, limits: BodyLimits): void {
  const { maxMemory, maxMemoryOfOne, unsaidBytes, arrivalMs } = limits;
  const inHand = new Map<string, number>();
  let total = 0;

  function add(address: string, memory: number): void {
    const left = (inHand.get(address) ?? 0) + memory;
    if (left === 0) inHand.delete(address);
    else inHand.set(address, left);
    total += memory;
  }

  function shareOf({ ip, log }: FastifyRequest): Share {
    let own = 0;
    return {
      take(memory) {
        const more = memory - own;
        if (total + more > maxMemory || (inHand.get(ip) ?? 0) + more > maxMemoryOfOne) {
          log.warn({ ip, memory, total }, 'too much was sent at once, and more was refused');
          return false;
        }
        add(ip, more);
        own = memory;
        return true;
      },
      giveBack() {
        add(ip, -own);
        own = 0;
      },
    };
  }

  app.addHook('onRequest', (request, reply, done) => {
    const bytes = announced(request, unsaidBytes);
    if (bytes === 0) return done();
    const share = shareOf(request);
    if (!share.take(memoryOf(bytes))) {
      refuseTooMuch(reply);
      return;
    }
    shares.set(request, share);
    const giveUp = setTimeout(() => request.raw.complete || request.raw.destroy(), arrivalMs);
    reply.raw.once('close', () => {
      clearTimeout(giveUp);
      share.giveBack();
    });
    done();
  });
}

/** How long it will be, as it says before it is read; of what says more, no more is kept. */
function announced({ raw: { headers } }: FastifyRequest, unsaidBytes: number): number {
  const isChunked = headers['transfer-encoding'] !== undefined;
  return isChunked ? unsaidBytes : Math.min(Number(headers['content-length'] ?? 0), unsaidBytes);
}

/** What one caller can take of a replica, and what is left for the others. */
import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import t, { type Test } from 'tap';
import type { Review } from '../../src/gate/admission-review.ts';
import type { Call, Gate } from '../../src/gate/hold.ts';
import { measureReview } from '../../src/gate/review-structure.ts';
import { type AppLimits, buildApp } from '../../src/http/app.ts';
import { memoryOf } from '../../src/http/bodies.ts';
import { deployReview } from '../fixtures/reviews.ts';
import { bystanders } from '../support/app.ts';
import { testLog } from '../support/log.ts';
import { serving } from '../support/serving.ts';

interface Serving {
  /** Of each review that is allowed. */
  readonly warnings?: readonly string[];
  readonly maxHeld?: number;
}

/** Its gate answers when `answer` is resolved. */
async function serve(t: Test, limits: Partial<AppLimits>, { warnings = [], maxHeld = 0 }: Serving = {}) {
  const answer = Promise.withResolvers<void>();
  const arrivals: ((arrived: Arrived) => void)[] = [];
  const gate: Pick<Gate, 'review'> = {
    async review(review, call) {
      arrivals.shift()?.({ review, call });
      await answer.promise;
      return { allowed: true, warnings };
    },
  };
  const { log } = testLog();
  const metrics = {
    admission: () => {},
    held: () => {},
    cleared: () => {},
    ended: () => {},
    text: async () => '',
    contentType: '',
  };
  const readiness = { reasons: () => [], notes: () => [] };
  const app = buildApp({
    ...bystanders,
    tls: serving.pair,
    admission: gate,
    metrics,
    readiness,
    log,
    limits,
    maxHeld,
  });
  const kept: unknown[] = [];
  app.addHook('onResponse', async ({ body }) => void kept.push(body));
  await app.listen({ host: '127.0.0.1', port: 0 });
  t.teardown(() => {
    answer.resolve();
    return app.close();
  });
  const { port } = app.server.address() as AddressInfo;

  async function connected(options: ConnectionOptions & { localAddress?: string } = {}): Promise<TLSSocket> {
    const socket = connect({ port, host: '127.0.0.1', ca: serving.caCertificate, ...options });
    socket.on('error', () => {});
    t.teardown(() => socket.destroy());
    await once(socket, 'secureConnect');
    // Whoever does not read does not hear of the end, either.
    return socket.resume();
  }
  const arrived = () => new Promise<Arrived>((resolve) => arrivals.push(resolve));
  return { app, answer, connected, arrived, kept };
}

/** A review in the gate. */
interface Arrived {
  readonly review: Review;
  readonly call: Call;
}

const REVIEW = JSON.stringify(deployReview({ payload: 'x'.repeat(10_000) }));
const LENGTH = Buffer.byteLength(REVIEW);

/** What it takes once it was read. */
const MEMORY = memoryOf(LENGTH, { marks: marksOf(REVIEW), isAscii: true });

function marksOf(review: string): number {
  const measured = measureReview(Buffer.from(review));
  return 'marks' in measured ? measured.marks : 0;
}

function requestOf(body: string, length = `Content-Length: ${Buffer.byteLength(body)}`): string {
  return `POST /admission HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n${length}\r\n\r\n${body}`;
}

function withLabels(review: string, count: number): string {
  const labels = Array.from({ length: count }, (_, index) => `"l${index}":""`);
  return review.replace('"labels":{', `"labels":{${labels.join(',')},`);
}

const LIVEZ = 'GET /livez HTTP/1.1\r\nHost: a\r\n\r\n';

/** The status line of the next answer. */
async function statusOf(socket: Socket): Promise<string> {
  const [bytes] = await once(socket, 'data');
  return String(bytes).split('\r\n')[0] as string;
}

/** However it ends. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()));
}

const OK = 'HTTP/1.1 200 OK';
const TOO_MUCH = 'HTTP/1.1 503 Service Unavailable';

t.test(
  'given as much in hand as may be, then more is told to come again, until some is answered',
  async (t) => {
    const limits = { maxMemory: 2 * MEMORY, maxMemoryOfOne: 2 * MEMORY, unsaidBytes: 3 * LENGTH };
    const { connected, arrived, answer } = await serve(t, limits);
    const first = await connected();
    const here = [arrived(), arrived()];
    first.write(requestOf(REVIEW));
    const second = await connected();
    second.write(requestOf(REVIEW));
    await Promise.all(here);

    const third = await connected();
    third.write(requestOf(REVIEW));
    const [bytes] = await once(third, 'data');
    t.match(String(bytes), /^HTTP\/1\.1 503 (.+\r\n)*retry-after: 1\r\n/);
    t.match(String(bytes), /too much to read\. Nothing was changed\.$/);
    await closed(third);
    const small = await connected();
    small.write(LIVEZ);
    t.equal(await statusOf(small), OK, 'what carries nothing is answered');

    answer.resolve();
    t.same(await Promise.all([statusOf(first), statusOf(second)]), [OK, OK]);
    small.write(requestOf(REVIEW));
    t.equal(await statusOf(small), OK, 'and what comes later');
    small.write(requestOf('', 'Transfer-Encoding: chunked'));
    t.equal(await statusOf(small), TOO_MUCH, 'what does not say how long it is may be as long as any');
  },
);

t.test('given a review that is held, then what it sent is not in hand any more', async (t) => {
  const limits = { maxMemory: MEMORY, maxMemoryOfOne: MEMORY };
  const { connected, arrived, answer, kept } = await serve(t, limits);
  const here = arrived();
  const first = await connected();
  first.write(requestOf(REVIEW));
  const { review, call } = await here;
  t.not(review.payload(), '');
  const second = await connected();
  second.write(requestOf(REVIEW));
  t.equal(await statusOf(second), TOO_MUCH);

  call.onHeld?.();
  t.equal(review.payload(), '', 'the gate has it no more');
  const next = arrived();
  const third = await connected();
  third.write(requestOf(REVIEW));
  await next;
  const fourth = await connected();
  fourth.write(requestOf(REVIEW));
  t.equal(await statusOf(fourth), TOO_MUCH, 'of what is in hand, there is no more than before');

  answer.resolve();
  t.same(await Promise.all([statusOf(first), statusOf(third)]), [OK, OK]);
  t.match(
    kept,
    [undefined, undefined, undefined, { review: { operation: 'CREATE' } }],
    'nor has the request',
  );
  const fifth = await connected();
  fifth.write(requestOf(REVIEW));
  t.equal(await statusOf(fifth), OK, 'an answer gives back nothing that was given back before');
  const sixth = await connected();
  sixth.write(requestOf(`${REVIEW}${' '.repeat(MEMORY - 3 * LENGTH)}`));
  t.equal(await statusOf(sixth), TOO_MUCH);
});

t.test('given how a body is built, then what is made of it counts, before it is made', async (t) => {
  const limits = { maxMemory: MEMORY - 1, maxMemoryOfOne: MEMORY - 1 };
  const { connected, answer } = await serve(t, limits);
  answer.resolve();
  const plain = JSON.stringify(deployReview({ payload: 'x'.repeat(9_000) }));
  for (const [given, body, status] of [
    ['one that is shorter', plain, OK],
    ['one with a character more', REVIEW, TOO_MUCH],
    ['a short one with a character that takes two bytes', plain.replace('"x', '"…'), TOO_MUCH],
    ['a short one with many parts', withLabels(plain, 50), TOO_MUCH],
  ] as const) {
    t.ok(memoryOf(Buffer.byteLength(body)) < MEMORY, `${given}: its bytes alone are not too much`);
    const socket = await connected();
    socket.write(requestOf(body));
    t.equal(await statusOf(socket), status, given);
  }
});

t.test('given one address that sends too much, then there is room for others', async (t) => {
  const limits = { maxMemory: 2 * MEMORY, maxMemoryOfOne: MEMORY, unsaidBytes: LENGTH };
  const { connected, arrived, answer } = await serve(t, limits);
  const here = arrived();
  const greedy = await connected({ localAddress: '127.0.1.1' });
  greedy.write(requestOf(REVIEW));
  await here;
  const more = await connected({ localAddress: '127.0.1.1' });
  more.write(requestOf(REVIEW));
  t.equal(await statusOf(more), TOO_MUCH);
  const another = await connected({ localAddress: '127.0.1.2' });
  another.write(requestOf(REVIEW));
  answer.resolve();
  t.equal(await statusOf(another), OK);
});

t.test('given a body that dribbles, then it is cut off, and its share given back', async (t) => {
  const limits = { maxMemory: MEMORY, maxMemoryOfOne: MEMORY, arrivalMs: 50 };
  const { connected, answer } = await serve(t, limits);
  answer.resolve();
  const slow = await connected();
  slow.write(requestOf(REVIEW).slice(0, -1));
  await closed(slow);
  const next = await connected();
  next.write(requestOf(REVIEW));
  t.equal(await statusOf(next), OK);
});

t.test(
  'given as many connections as may be, besides those of held calls, then one that nobody asks over makes room',
  async (t) => {
    const { app, connected, arrived } = await serve(t, { maxConnections: 1 }, { maxHeld: 2 });
    const here = arrived();
    const busy = await connected();
    busy.write(requestOf(REVIEW));
    await here;
    const used = await connected();
    used.write(LIVEZ);
    t.equal(await statusOf(used), OK);
    const spare = await connected();

    const ends = [closed(spare), closed(used)];
    const fourth = await connected();
    await ends[0];
    t.pass('first of all, one that was never asked over');
    fourth.write(LIVEZ);
    t.equal(await statusOf(fourth), OK);
    const fifth = await connected();
    await ends[1];
    t.pass('then the oldest that is idle');
    for (const socket of [fourth, fifth]) {
      const more = arrived();
      socket.write(requestOf(REVIEW));
      await more;
    }
    const sixth = connect({ port: (app.server.address() as AddressInfo).port, host: '127.0.0.1' });
    sixth.on('error', () => {});
    await closed(sixth);
    t.notOk(sixth.authorized, 'while all are asked over, nobody else comes in');
    t.notOk(busy.closed || fourth.closed || fifth.closed);
  },
);

t.test('given somebody who takes no byte of an answer, then the connection is ended', async (t) => {
  const { app, connected, answer } = await serve(t, { takeMs: 50 }, { warnings: ['x'.repeat(20_000_000)] });
  answer.resolve();
  const ended = new Promise<void>((resolve) => {
    app.server.on('secureConnection', (socket: Socket) => socket.once('close', () => resolve()));
  });
  const deaf = await connected();
  deaf.pause();
  deaf.write(requestOf(REVIEW));
  await ended;
  const next = await connected();
  next.write(LIVEZ);
  t.equal(await statusOf(next), OK);
});

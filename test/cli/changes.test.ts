import t from 'tap';
import { followChanges } from '../../src/cli/changes.ts';
import type { Requests } from '../../src/kubernetes/requests.ts';
import { fakeClock } from '../support/fake-clock.ts';

type Body = Awaited<ReturnType<Requests['open']>>;

t.test(
  'a watch that ends, or fails, is opened again after a second; one that is refused is not',
  async (t) => {
    const clock = fakeClock();
    const opened: string[] = [];
    const answers = [
      () => Promise.reject(new Error('connection lost')),
      () => Promise.resolve((async function* () {})() as unknown as Body),
      () =>
        Promise.resolve(
          (async function* () {
            yield 'a line';
          })() as unknown as Body,
        ),
      () => Promise.reject(Object.assign(new Error('forbidden'), { status: 403 })),
    ];
    const refused = Promise.withResolvers<Error>();
    const changes = followChanges({
      requests: {
        open(path) {
          opened.push(path);
          return (answers.shift() ?? (() => new Promise<Body>(() => {})))();
        },
      },
      paths: ['/secrets?labelSelector=x'],
      onRefused: refused.resolve,
      after: clock.after,
    });
    const change = changes.next();
    t.equal(change.hasHappened(), false);
    for (const count of [2, 3]) {
      while (clock.timers() === 0) await new Promise(setImmediate);
      clock.advance(1_000);
      while (opened.length < count) await new Promise(setImmediate);
    }
    await change.happened;
    t.equal(change.hasHappened(), true);
    change.cancel();
    while (clock.timers() === 0) await new Promise(setImmediate);
    clock.advance(1_000);
    t.match(await refused.promise, { message: 'forbidden' });
    t.equal(opened.length, 4);
    t.match(opened[0], '/secrets?labelSelector=x&watch=true&');
    changes.stop();
  },
);

t.test('a stop ends the pause', async (t) => {
  const clock = fakeClock();
  const changes = followChanges({
    requests: { open: () => Promise.reject(new Error('connection lost')) },
    paths: ['/secrets'],
    onRefused: t.fail,
    after: clock.after,
  });
  while (clock.timers() === 0) await new Promise(setImmediate);
  changes.stop();
  while (clock.timers() > 0) await new Promise(setImmediate);
  t.pass('and no timer is left');
});

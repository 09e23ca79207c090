/** What API servers are told before there is a token. The rest is told with the whole upkeep. */
import t from 'tap';
import { readConfig } from '../src/config.ts';
import { createPathUpkeep } from '../src/path-upkeep.ts';
import { fakeClock } from './support/fake-clock.ts';
import { testLog } from './support/log.ts';

t.test('as long as no token is known, no path is chosen, so what is told stays', async (t) => {
  const unasked = () => Promise.reject(new Error('nobody is asked'));
  const path = createPathUpkeep({
    config: readConfig({}),
    requests: { read: unasked, write: unasked, open: unasked, ask: unasked, apply: unasked },
    client: { list: unasked },
    armed: () => [],
    clock: fakeClock(),
    random: Math.random,
    log: testLog().log,
  });
  const told = { paths: ['/admission'], isArmed: true, seenMs: 0 };
  t.equal(await path.choosePath(told, new AbortController().signal), undefined);
  t.match(
    path.reason(),
    /^there is no path for reviews: Secret lockkeeper\/lockkeeper-ca has not been read yet$/,
  );
});

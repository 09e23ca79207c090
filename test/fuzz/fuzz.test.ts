/** The short form of `npm run fuzz`; and a test of the fuzz itself, on a gate with a bug. */
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { restApp } from '../support/app.ts';
import { serving } from '../support/serving.ts';
import { fuzz } from './fuzz.ts';
import { fuzzedWorld } from './world.ts';

/** Far more than an answer takes, however busy the machine is. */
const HANG_MS = 30_000;

t.test('given whatever is sent, nothing breaks, hangs, or is allowed that no rule allows', async (t) => {
  const world = await fuzzedWorld(t, { hangMs: HANG_MS });
  const seed = Date.now() % 2 ** 31;
  const { seen, failures } = await fuzz(world, { runs: 600, seed });
  t.strictSame(failures, [], `from seed ${seed}`);
  for (const kind of ['allowed: rule 1', 'allowed: rule 4', 'denied 400', 'denied 409', 'rest 200']) {
    t.ok(seen.has(kind), `${kind} was seen, among ${[...seen.keys()].join(', ')}`);
  }
});

t.test('given a gate that allows everything, then it is found, and found again', async (t) => {
  const allow = { review: async () => ({ allowed: true, warnings: [] }) as const };
  const { app } = await restApp(t, { tls: serving.pair, admission: allow });
  await app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = app.server.address() as AddressInfo;
  const world = await fuzzedWorld(t, { hangMs: HANG_MS, port });

  const { failures } = await fuzz(world, { runs: 200, seed: 1 });
  const [first = ''] = failures.filter((failure) => failure.startsWith('an allow that no rule gives'));
  const [, seed, path] = /--seed (\d+) --path ([\d:]+)/.exec(first) ?? [];
  t.ok(path, first);
  const again = await fuzz(world, { runs: 1, seed: Number(seed), path: String(path) });
  t.match(again.failures, [/^an allow that no rule gives/]);
});

/** The API server restarts while people deploy: gate and fence hold from its first answer on, and Lockkeeper finds its way back. */
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import type { ApiClient } from '../clusters/client.ts';
import { ownControlPlane } from '../clusters/start.ts';
import { lockkeeperOn } from '../e2e/world.ts';
import { record } from '../support/records.ts';
import { putUpFence } from './crew.ts';

const SECRETS = '/api/v1/namespaces/prod/secrets';

/** Who asks at the same time, each again as soon as it was answered. */
const AT_ONCE = 4;

/** After an answer that came at once. */
const PAUSE_MS = 5;

interface Answers {
  /** How often each code was answered; 0 is none. */
  readonly codes: ReadonlyMap<number, number>;
  readonly stop: () => Promise<void>;
}

/** Asks the same again and again. */
function askingAgain(ask: () => Promise<{ readonly code: number }>): Answers {
  const codes = new Map<number, number>();
  let isOver = false;
  const asking = Array.from({ length: AT_ONCE }, async () => {
    while (!isOver) {
      const code = await ask().then(
        (answer) => answer.code,
        () => 0,
      );
      codes.set(code, (codes.get(code) ?? 0) + 1);
      await delay(PAUSE_MS);
    }
  });
  return {
    codes,
    async stop() {
      isOver = true;
      await Promise.all(asking);
    },
  };
}

t.test('nobody deploys beside a lock, or writes what has ended, while it restarts', async (t) => {
  const cluster = await ownControlPlane(t);
  const admin = await cluster.client();
  await admin.createNamespace('prod');
  await putUpFence(admin);
  const config = { holdSeconds: 25 };
  const { logs } = await lockkeeperOn(t, cluster, { config, timeoutSeconds: 30 });
  const first = await admin.create(SECRETS, record('api', 1, 'pending-install'));
  await admin.create(SECRETS, record('web', 1, 'failed'));

  const second = record('api', 2, 'pending-upgrade');
  const deploys = askingAgain(() => admin.request('POST', `${SECRETS}?dryRun=All`, second));
  const zombie = record('web', 1, 'deployed');
  const zombies = askingAgain(() =>
    admin.request('PUT', `${SECRETS}/${zombie.metadata.name}?dryRun=All`, zombie),
  );
  await cluster.restartApiServer();
  // Until Lockkeeper can read again, it may be another code.
  await firstAnswer(admin, second, 409);
  for (const { stop } of [deploys, zombies]) await stop();
  t.equal(deploys.codes.get(201) ?? 0, 0, `deploys were answered ${[...deploys.codes].join('; ')}`);
  t.ok((deploys.codes.get(409) ?? 0) > 0, 'the gate refused them');
  t.equal(zombies.codes.get(200) ?? 0, 0, `zombies were answered ${[...zombies.codes].join('; ')}`);
  t.ok((zombies.codes.get(403) ?? 0) > 0, 'the fence refused them');

  const held = logs.nextLine('held');
  const deploy = admin.request('POST', SECRETS, second);
  await held;
  await admin.replace(`${SECRETS}/${first.metadata.name}`, record('api', 1, 'deployed'));
  t.equal(
    (await deploy).code,
    201,
    'its watch tells of the end of a lock again: a hold that ends by itself is a 429',
  );
});

async function firstAnswer(admin: ApiClient, object: object, code: number): Promise<void> {
  while ((await admin.request('POST', `${SECRETS}?dryRun=All`, object)).code !== code) await delay(PAUSE_MS);
}

/** Two replicas that sweep, a person who clears, and a Helm that ends after all: one of them wins, and history tells so. */
import { setTimeout as pause } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { lockkeeperOn } from '../e2e/world.ts';
import { startServiceOn } from '../support/lockkeeper.ts';
import { type RestClient, restClient } from '../support/rest.ts';
import { until } from '../support/until.ts';
import { putUpFence } from './crew.ts';
import { type Deploy, endPod, infoOf, type Runners, recordNameOf, runners } from './runners.ts';

/** From the verdict on; the sweeps begin within a second. */
const MOMENTS = [0, 200, 400, 600, 800, 1_000];

/** More often, Lockkeeper would send bob away. */
const LOOK_MS = 50;

interface Race {
  readonly deploy: Deploy;
  /** When the person clears, and when the hook ends: milliseconds after the verdict. */
  readonly clearAt: number;
  readonly finishAt: number;
}

/** A pod that has finished keeps its token: so this Helm can write to the last. */
async function race(t: Test, w: Runners, rest: RestClient, { deploy, clearAt, finishAt }: Race) {
  const { admin, writes } = w;
  const { release } = deploy;
  const name = recordNameOf(deploy);
  const statuses = new Set<string | undefined>();
  writes.on(({ object: { metadata } }) => metadata.name === name && statuses.add(metadata.labels?.status));
  await w.helm(deploy.place, `install ${release} CHART`).done;
  const { helm, finish } = await w.start(deploy, await w.token('ci', release));
  await endPod(admin, 'ci', release, 'Failed');
  await until(
    () => pause(LOOK_MS).then(() => rest.get(`/${release}`)),
    ({ status, body }) => status === 404 || body.verdict === 'dead-holder',
  );
  const [{ status: answer }, { code }] = await Promise.all([
    pause(clearAt).then(() => rest.remove(`/${release}?reason=raced`)),
    pause(finishAt)
      .then(finish)
      .then(() => helm.done),
  ]);

  const record = await w.record(deploy);
  const { status, description } = infoOf(record, 'secret');
  t.equal(record.metadata.labels?.status, status, `${release}: label and content agree`);
  // The watch may tell of the last write a moment after the record shows it.
  await until(async () => statuses.has(status), Boolean);
  t.same([...statuses], ['pending-upgrade', status], `${release}: it ended once`);
  const events = await admin.list('/api/v1/namespaces/prod/events?fieldSelector=reason%3DCleared');
  const told = events.filter(({ involvedObject }) => (involvedObject as { name: string }).name === name);
  const winner = /^Cleared by (\S+)/.exec(description)?.[1] ?? 'helm';
  if (winner === 'helm') {
    t.match({ status, code, told: told.length }, { status: 'deployed', code: 0, told: 0 }, release);
  } else {
    t.match({ status, told: told.length }, { status: 'failed', told: 1 }, release);
    t.not(code, 0, `${release}: Helm is told that it has lost`);
  }
  t.equal(answer === 200, winner === 'bob', `${release}: bob is told the truth (${answer})`);
  return winner;
}

t.test('one wins, and history tells one story', async (t) => {
  const w = await runners(t);
  await putUpFence(w.admin);
  const lockkeeper = await lockkeeperOn(t, w.cluster, { config: { holdSeconds: 0, maxWaitSeconds: 0 } });
  const { ready } = await startServiceOn(t, w.cluster);
  await ready();
  const rest = await restClient(t, lockkeeper, { username: 'bob' });
  const winners = await Promise.all(
    MOMENTS.map((clearAt, index) => {
      const finishAt = MOMENTS.at(-1 - index) ?? 0;
      const deploy = {
        place: { version: '4.1.4', driver: 'secret' },
        release: `race-${index}`,
        revision: 2,
        command: 'upgrade',
        phase: 'in its hook',
      } as const;
      return race(t, w, rest, { deploy, clearAt, finishAt });
    }),
  );
  t.comment(`winners: ${winners.join(', ')}`);
  t.same((await rest.get('')).body, { items: [] }, 'no lock is left');
});

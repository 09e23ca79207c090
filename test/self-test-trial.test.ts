/** What `helm test` tries and says, on a cluster that asks Lockkeeper, asks nobody, or cannot ask. */
import { KubeConfig } from '@kubernetes/client-node';
import t, { type Test } from 'tap';
import { systemClock } from '../src/clock.ts';
import type { Driver } from '../src/helm/release.ts';
import { connect } from '../src/kubernetes/connection.ts';
import { createRequests } from '../src/kubernetes/requests.ts';
import { tryGate } from '../src/self-test-trial.ts';
import { type Lockkeeper, startLockkeeper } from './support/lockkeeper.ts';
import { record } from './support/records.ts';

const RELEASE = 'lockkeeper-self-test';

const PATIENCE_MS = 60_000;

interface TrialWorld extends Lockkeeper {
  readonly lines: readonly string[];
  readonly pauses: number;
  /** What is stored of the trial's release. */
  left(driver?: Driver): Promise<readonly unknown[]>;
  /** `onPause` is what happens while the trial has patience. */
  trial(options?: { driver?: Driver; onPause?: () => Promise<void> }): Promise<boolean>;
}

async function world(t: Test): Promise<TrialWorld> {
  const lockkeeper = await startLockkeeper(t);
  const { cluster } = lockkeeper;
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromFile(await cluster.kubeconfig({ user: { username: 'self-test' } }));
  const connection = connect(kubeConfig, { clock: systemClock });
  t.teardown(() => connection.close());
  const admin = await cluster.client();
  const lines: string[] = [];
  let now = 0;
  let pauses = 0;
  return {
    ...lockkeeper,
    lines,
    get pauses() {
      return pauses;
    },
    left: (driver = 'secrets') =>
      admin.list(`/api/v1/namespaces/prod/${driver}?labelSelector=name%3D${RELEASE}`),
    trial: ({ driver = 'secrets', onPause = async () => {} } = {}) =>
      tryGate({
        requests: createRequests({ connection, pool: 'errands' }),
        namespace: 'prod',
        release: RELEASE,
        driver,
        configuration: 'lockkeeper',
        patienceMs: PATIENCE_MS,
        clock: {
          now: () => now,
          after(ms, callback) {
            now += ms;
            pauses += 1;
            void onPause().then(callback);
            return () => {};
          },
        },
        say: (line) => lines.push(line),
      }),
  };
}

for (const driver of ['secrets', 'configmaps'] as const) {
  t.test(`the gate refuses the second deploy, whose record is one of ${driver}`, async (t) => {
    const w = await world(t);
    t.equal(await w.trial({ driver }), true);
    t.match(w.lines, [
      /^Forging two deploys at once of the release lockkeeper-self-test in the namespace prod:$/,
      /^- revision 1 was stored as pending-install/,
      /^- revision 2 .* refused: admission webhook "gate\.lockkeeper\.dev" denied the request: release prod\/lockkeeper-self-test is locked by revision 1 \(pending-install, /,
      /^PASSED: /,
    ]);
    t.equal(w.pauses, 0);
    t.same(await w.left(driver), []);
  });
}

t.test('what a trial has left that was killed is in nobody’s way', async (t) => {
  const w = await world(t);
  w.cluster.seed([record(RELEASE, 1, 'pending-install')]);
  const { metadata } = record(RELEASE, 1, 'pending-install');
  const admin = await w.cluster.client();
  await admin.patch(`/api/v1/namespaces/prod/secrets/${metadata.name}`, {
    metadata: { annotations: { 'lockkeeper.dev/allow-delete': 'true' } },
  });
  t.equal(await w.trial(), true);
  t.same(await w.left(), []);
});

t.test('the gate is armed a moment later', async (t) => {
  const w = await world(t);
  await w.removeWebhook();
  t.equal(await w.trial({ onPause: w.installWebhook }), true);
  t.equal(w.pauses, 1);
  t.match(w.lines.at(-1), /^PASSED/);
});

t.test('nobody refuses it: what may be the reason', async (t) => {
  const w = await world(t);
  await w.removeWebhook();
  t.equal(await w.trial(), false);
  t.equal(w.pauses, PATIENCE_MS / 500);
  t.match(w.lines, [
    /^Forging/,
    /^- revision 1 was stored/,
    /^- revision 2 .* nobody refused it\. Nothing of this is left\.$/,
    /^FAILED: two deploys of one release can run at once/,
    /^- The gate is not there: kubectl get validatingwebhookconfiguration lockkeeper$/,
    /helm upgrade/,
    /^- It is not armed yet/,
    /pods/,
    /^- The namespace prod is excluded/,
    /test\.namespace/,
    /^- Lockkeeper cannot be asked, and webhook\.failurePolicy is Ignore/,
  ]);
  t.same(await w.left(), []);
});

t.test('the gate cannot be asked: it has patience, and says in the end what it saw', async (t) => {
  const w = await world(t);
  await w.service.close();
  t.equal(await w.trial(), false);
  t.equal(w.pauses, PATIENCE_MS / 500);
  t.match(w.lines, [
    /^Forging/,
    /^FAILED: this could not be tried: .*failed calling webhook "gate\.lockkeeper\.dev"/,
    /kubectl delete secrets sh\.helm\.release\.v1\.lockkeeper-self-test\.v1 -n prod$/,
  ]);
});

t.test('what will be no better in a moment is said at once, and nothing is left', async (t) => {
  const w = await world(t);
  w.cluster.faults.failRequests(({ query }) => (query.has('dryRun') ? { status: 403 } : undefined));
  t.equal(await w.trial(), false);
  t.equal(w.pauses, 0);
  t.match(w.lines, [/^Forging/, /^FAILED: this could not be tried: POST .*: 403/, /kubectl delete/]);
  t.same(await w.left(), []);
});

t.test('the API server is away for a moment', async (t) => {
  const w = await world(t);
  await w.cluster.faults.goAway();
  t.equal(await w.trial({ onPause: () => w.cluster.faults.comeBack() }), true);
  t.equal(w.pauses, 1);
});

/**
 * That the commands which Lockkeeper names after a clear work, with Lockkeeper in place, and that those which
 * it leaves out do not: asked of real Helm. One file for each version runs this.
 */
import { gunzipSync, gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import type { Strategy } from '../../src/gate/clearing.ts';
import { type Driver, type Revision, readRevision, recordName } from '../../src/helm/release.ts';
import type { ApiClient } from '../clusters/client.ts';
import type { EmbeddedCluster } from '../clusters/embedded/cluster.ts';
import { ALICE, CHART } from '../clusters/embedded/fixture.ts';
import type { KubernetesObject, StoredObject } from '../clusters/kubernetes-object.ts';
import { startLockkeeper } from '../support/lockkeeper.ts';
import { LOCKS, restClient } from '../support/rest.ts';
import { helmBinary, type NpmHelmVersion } from '../tools/binaries.ts';
import { helmEnvironment, type RunningProgram, type RunResult, start } from '../tools/run.ts';
import { STALE_AFTER_MS } from './world.ts';

/** What a command that is not named does. An `install --replace` lets what was deployed stay so. */
type Outcome = RegExp | 'works' | 'leaves two deployed';

interface Ending {
  /** What is to be named, in this order. Each must work. */
  readonly next: readonly string[];
  /** What the others do; by version where Helm changed its mind. */
  readonly others: Readonly<Record<string, Outcome | Readonly<Record<NpmHelmVersion, Outcome>>>>;
}

/** A strategy that is not given leaves what is seen in another situation. */
interface Situation extends Readonly<Partial<Record<Strategy, Ending>>> {
  readonly name: string;
  readonly drivers?: readonly Driver[];
  /** The newest revision is pending afterwards, and nobody works on it. */
  readonly make: (world: World) => Promise<void>;
  /** What is stored then, as `helm history` would show it. */
  readonly history: readonly string[];
}

const UPGRADE = 'helm upgrade api CHART -n prod';
const UPGRADE_INSTALL = 'helm upgrade --install api CHART -n prod';
const INSTALL = 'helm install api CHART -n prod';
const REPLACE = 'helm install --replace api CHART -n prod';
const UNINSTALL = 'helm uninstall api -n prod';
const rollback = (revision: number) => `helm rollback api ${revision} -n prod`;

/** Helm 4 spells it in one word. */
const IN_USE = /cannot re-?use a name that is still in use/;
const NONE_DEPLOYED = /"api" has no deployed releases/;
const NOT_FOUND = /release: not found/;
const IN_PROGRESS = /another operation \(install\/upgrade\/rollback\) is in progress/;

/** What install says whenever anything is stored. */
const inUse = { [INSTALL]: IN_USE };

/** Helm rolls back to any revision, also to the newest; not named because this one never worked. */
const toTheFailed = { [rollback(1)]: 'works' } as const;

/** Seen: 3.9 upgrades, which needs something deployed; since 3.14.4 it is an `install --replace`. */
const replacedByNewer = {
  [UPGRADE_INSTALL]: { '3.9.4': NONE_DEPLOYED, '3.17.3': 'works', '4.1.4': 'works' },
} as const;

/** The same when something is deployed. */
const twoByNewer = {
  [UPGRADE_INSTALL]: { '3.9.4': 'works', '3.17.3': 'leaves two deployed', '4.1.4': 'leaves two deployed' },
} as const;

const SITUATIONS: readonly Situation[] = [
  {
    name: 'a first install died',
    // With all its resources made: Helm takes over what bears the name of the release.
    make: ({ die }) => die('install api CHART --set hook.post=true'),
    history: ['1 pending-install'],
    'mark-failed': { next: [UPGRADE, UPGRADE_INSTALL], others: { ...inUse, ...toTheFailed } },
    delete: {
      next: [INSTALL, UPGRADE_INSTALL],
      others: { [UPGRADE]: NONE_DEPLOYED, [rollback(1)]: NOT_FOUND },
    },
  },
  {
    name: 'an upgrade died',
    // The driver matters to how a record is written, and to how Helm is called; not to what Helm decides.
    drivers: ['secrets', 'configmaps'],
    make: async ({ deploy, die }) => {
      await deploy('install api CHART');
      await die('upgrade api CHART --set hook.post=true,message=second');
    },
    history: ['1 deployed', '2 pending-upgrade'],
    'mark-failed': { next: [UPGRADE, UPGRADE_INSTALL, rollback(1)], others: inUse },
    // The rollback to the newest itself undoes what the dead upgrade had changed already.
    delete: { next: [UPGRADE, UPGRADE_INSTALL, rollback(1)], others: inUse },
  },
  {
    name: 'a rollback died',
    make: async ({ deploy, die }) => {
      await deploy('install api CHART --set hook.pre=true');
      await deploy('upgrade api CHART');
      await die('rollback api 1');
    },
    history: ['1 superseded', '2 deployed', '3 pending-rollback'],
    'mark-failed': { next: [UPGRADE, UPGRADE_INSTALL, rollback(2)], others: inUse },
    delete: { next: [UPGRADE, UPGRADE_INSTALL, rollback(2)], others: inUse },
  },
  {
    name: 'an upgrade of a failed install died',
    make: async ({ fail, die }) => {
      await fail('install api CHART --set hook.pre=true');
      await die('upgrade api CHART --set hook.pre=true');
    },
    history: ['1 failed', '2 pending-upgrade'],
    'mark-failed': { next: [UPGRADE, UPGRADE_INSTALL], others: { ...inUse, ...toTheFailed } },
    delete: { next: [UPGRADE, UPGRADE_INSTALL], others: { ...inUse, ...toTheFailed } },
  },
  {
    name: 'an install --replace of what was uninstalled died',
    make: async ({ deploy, die }) => {
      await deploy('install api CHART');
      await deploy('uninstall api --keep-history');
      await die('install --replace api CHART --set hook.pre=true');
    },
    // Superseded, though nothing of it is left in the cluster: Helm makes it anew.
    history: ['1 superseded', '2 pending-install'],
    'mark-failed': { next: [UPGRADE, UPGRADE_INSTALL, rollback(1)], others: inUse },
    delete: { next: [UPGRADE, UPGRADE_INSTALL, rollback(1)], others: inUse },
  },
  {
    name: 'a rollback of the only revision, which was uninstalled, died',
    make: async ({ deploy, die }) => {
      await deploy('install api CHART --set hook.pre=true');
      await deploy('uninstall api --keep-history');
      await die('rollback api 1');
    },
    history: ['1 uninstalled', '2 pending-rollback'],
    'mark-failed': { next: [UPGRADE, UPGRADE_INSTALL], others: { ...inUse, ...toTheFailed } },
    delete: {
      next: [REPLACE],
      others: { ...inUse, ...toTheFailed, ...replacedByNewer, [UPGRADE]: NONE_DEPLOYED },
    },
  },
  {
    name: 'a rollback after an uninstall died',
    make: async ({ deploy, die }) => {
      await deploy('install api CHART --set hook.pre=true');
      await deploy('upgrade api CHART');
      await deploy('uninstall api --keep-history');
      await die('rollback api 1');
    },
    history: ['1 superseded', '2 uninstalled', '3 pending-rollback'],
    delete: {
      next: [REPLACE, rollback(1)],
      others: { ...inUse, ...replacedByNewer, [UPGRADE]: NONE_DEPLOYED },
    },
  },
  {
    name: 'an upgrade after an uninstall of a failed one died',
    make: async ({ deploy, fail, die, setStatus }) => {
      await deploy('install api CHART');
      await fail('upgrade api CHART --set hook.pre=true');
      await deploy('uninstall api --keep-history');
      // Seen: 3.9 and 3.17 leave it so, 4.1 makes it superseded. One release may know more than one Helm.
      await setStatus(1, 'deployed');
      await die('upgrade api CHART --set hook.pre=true');
    },
    history: ['1 deployed', '2 uninstalled', '3 pending-upgrade'],
    delete: { next: [UPGRADE, rollback(1)], others: { ...inUse, ...twoByNewer } },
  },
  {
    name: 'revision 9 was uninstalled, and an upgrade above it died',
    make: async ({ deploy, die }) => {
      await deploy('install api CHART');
      for (let revision = 2; revision <= 9; revision += 1) {
        await deploy('upgrade api CHART --history-max 2');
      }
      await deploy('uninstall api --keep-history');
      await deploy('rollback api 8');
      await die('upgrade api CHART --set hook.pre=true');
    },
    history: ['8 superseded', '9 uninstalled', '10 deployed', '11 pending-upgrade'],
    'mark-failed': { next: [UPGRADE, rollback(10)], others: { ...inUse, ...twoByNewer } },
    delete: {
      next: [UPGRADE, rollback(10)],
      // Since 3.14.4, Helm asks revision 9, the last by name, whether the release is uninstalled.
      others: { ...inUse, [UPGRADE_INSTALL]: { '3.9.4': 'works', '3.17.3': IN_USE, '4.1.4': IN_USE } },
    },
  },
  {
    name: 'a rollback over a dead upgrade died',
    make: async ({ deploy, die }) => {
      await deploy('install api CHART --set hook.pre=true');
      await die('upgrade api CHART --set hook.pre=true');
      await die('rollback api 1');
    },
    history: ['1 deployed', '2 pending-upgrade', '3 pending-rollback'],
    'mark-failed': { next: [UPGRADE, UPGRADE_INSTALL, rollback(1)], others: inUse },
    delete: {
      next: ['DELETE /api/v1/namespaces/prod/locks/api?revision=2'],
      // Revision 2 is stale as well, so the gate clears it on the way of a rollback, and would hold it if it were live.
      others: {
        ...inUse,
        [UPGRADE]: IN_PROGRESS,
        [UPGRADE_INSTALL]: IN_PROGRESS,
        [rollback(1)]: 'works',
      },
    },
  },
  {
    name: 'a rollback over a dead uninstall died',
    make: async ({ deploy, die }) => {
      await deploy('install api CHART --set hook.pre=true');
      await die('uninstall api', hasStatus('uninstalling'));
      await die('rollback api 1');
    },
    history: ['1 uninstalling', '2 pending-rollback'],
    delete: {
      next: [UNINSTALL],
      others: {
        ...inUse,
        ...toTheFailed,
        [UPGRADE]: NONE_DEPLOYED,
        [UPGRADE_INSTALL]: NONE_DEPLOYED,
        [REPLACE]: IN_USE,
      },
    },
  },
  {
    name: 'an upgrade of a revision whose status somebody made unknown died',
    make: async ({ deploy, die, setStatus }) => {
      await deploy('install api CHART');
      await deploy('upgrade api CHART');
      await die('upgrade api CHART --set hook.pre=true');
      await setStatus(2, 'unknown');
    },
    history: ['1 superseded', '2 unknown', '3 pending-upgrade'],
    delete: {
      next: [rollback(1)],
      others: {
        ...inUse,
        [UPGRADE]: NONE_DEPLOYED,
        [UPGRADE_INSTALL]: NONE_DEPLOYED,
        [REPLACE]: IN_USE,
        [UNINSTALL]: 'works',
      },
    },
  },
  {
    name: 'a rollback failed, and an upgrade after it died',
    make: async ({ cluster, deploy, fail, die }) => {
      await deploy('install api CHART');
      await fail('upgrade api CHART --set hook.post=true,message=second');
      const repair = cluster.faults.failRequests(({ method, path }) =>
        method === 'PATCH' && path.endsWith('/configmaps/api') ? { status: 500 } : undefined,
      );
      await fail('rollback api 1');
      repair();
      await die('upgrade api CHART --set hook.pre=true');
    },
    // Revision 2 had failed, too; the one that is good is the deployed one.
    history: ['1 deployed', '2 superseded', '3 failed', '4 pending-upgrade'],
    delete: { next: [UPGRADE, UPGRADE_INSTALL, rollback(1)], others: inUse },
  },
];

export function tellWhatComesNext(version: NpmHelmVersion): void {
  for (const situation of SITUATIONS) {
    for (const driver of situation.drivers ?? (['secrets'] as const)) {
      t.test(`Helm ${version}, ${driver}: ${situation.name}`, async (t) => {
        const w = await world(t, version, driver);
        await situation.make(w);
        const locked = await w.save();
        t.same(await w.history(), situation.history, 'what is stored');
        await w.becomeStale();
        for (const strategy of ['mark-failed', 'delete'] as const) {
          const ending = situation[strategy];
          if (ending === undefined) continue;
          await t.test(strategy, async (t) => {
            await w.load(locked);
            const told = await w.clear(strategy);
            if (strategy === 'mark-failed') await isExplained(t, w);
            await endsAs(t, w, version, ending, told);
          });
        }
      });
    }
  }
}

/** Who reads the history finds who cleared the lock, and why. */
async function isExplained(t: Test, w: World): Promise<void> {
  const { stdout } = await w.run(w.line('helm history api -n prod --max 1'));
  t.match(
    stdout,
    /\sfailed\s.*Cleared by alice at \S+, was pending-\w+: no sign of life for .*; its runner died/,
  );
}

/** @param told what the clear told to do next */
async function endsAs(
  t: Test,
  w: World,
  version: NpmHelmVersion,
  { next, others }: Ending,
  told: readonly string[],
): Promise<void> {
  t.same(told, next.map(w.line), 'what is named');
  for (const command of [UPGRADE, UPGRADE_INSTALL, INSTALL]) {
    t.ok(next.includes(command) !== command in others, `${command} is named, or it is known why not`);
  }
  const cleared = await w.save();
  for (const command of next) {
    await w.load(cleared);
    await leads(t, w, command);
  }
  for (const [command, outcome] of Object.entries(others)) {
    await w.load(cleared);
    const expected = typeof outcome === 'string' || outcome instanceof RegExp ? outcome : outcome[version];
    if (typeof expected === 'string') await works(t, w, w.line(command), expected === 'works' ? 1 : 2);
    else t.match(await w.run(w.line(command)), { code: 1, stderr: expected }, `${command}: ${expected}`);
  }
}

/** A command works; a request to clear the next lock is followed by one that does. */
async function leads(t: Test, w: World, command: string): Promise<void> {
  if (command.startsWith('helm ')) return works(t, w, w.line(command));
  const [, path = ''] = command.split(' ');
  const [first = 'nothing'] = await w.request(path);
  return works(t, w, first);
}

/** Helm says so, and so do the records and the cluster: the newest revision is deployed, or nothing is left. */
async function works(t: Test, w: World, line: string, deployed = 1): Promise<void> {
  const { code, stderr } = await w.run(line);
  t.equal(code, 0, line, { stderr });
  const history = await w.history();
  const { body } = await w.admin.request('GET', '/api/v1/namespaces/prod/configmaps/api');
  if (line.endsWith(UNINSTALL)) t.same([history, body.code], [[], 404], 'nothing is left');
  else {
    t.match([history.at(-1), body.data], [/ deployed$/, { message: 'hello' }], 'the newest is deployed');
    t.equal(
      history.filter((revision) => revision.endsWith(' deployed')).length,
      deployed,
      'deployed revisions',
    );
  }
}

interface World {
  readonly cluster: EmbeddedCluster;
  readonly admin: ApiClient;
  /** A Helm command that must succeed; every hook ends well. */
  deploy(command: string): Promise<void>;
  /** A Helm command that must fail; so does every hook. */
  fail(command: string): Promise<void>;
  /** A Helm command that is killed right after a write, by default its hook's. */
  die(command: string, after?: (object: StoredObject) => boolean): Promise<void>;
  /** A command as `nextCommands` writes it for the driver. */
  line(command: string): string;
  /** Runs such a line in a shell whose namespace is another one; every hook ends well. */
  run(line: string): Promise<RunResult>;
  setStatus(revision: number, status: string): Promise<void>;
  /** Turns the clock until nobody can be thought to work; Lockkeeper is asked about everything from then on. */
  becomeStale(): Promise<void>;
  /** Clears the lock over REST. What works then. */
  clear(strategy: Strategy): Promise<readonly string[]>;
  /** The same, by a DELETE of this path. */
  request(path: string): Promise<readonly string[]>;
  /** Number and status of each revision, oldest first. */
  history(): Promise<string[]>;
  /** All that Helm has made. */
  save(): Promise<readonly KubernetesObject[]>;
  load(objects: readonly KubernetesObject[]): Promise<void>;
}

const isJob = ({ kind }: StoredObject) => kind === 'Job';

const hasStatus = (status: string) => (object: StoredObject) => object.metadata.labels?.status === status;

async function world(t: Test, version: NpmHelmVersion, driver: Driver): Promise<World> {
  const lockkeeper = await startLockkeeper(t);
  const { cluster } = lockkeeper;
  const rest = await restClient(t, lockkeeper, ALICE);
  const admin = await cluster.client();
  // What has happened before is not Lockkeeper's doing.
  await lockkeeper.removeWebhook();
  const { helm } = await helmBinary(version);
  const kubeconfig = await cluster.kubeconfig({ user: ALICE });
  /** Told of each write before its client is. */
  let onWrite: (object: StoredObject) => void = () => {};
  cluster.onWrite(({ verb, object }) => verb !== 'DELETED' && onWrite(object));

  function begin(line: string): RunningProgram {
    const [, env, args = ''] = /^(?:HELM_DRIVER=(\S+) )?helm (.*)$/.exec(line) ?? [];
    const words = args.split(' ').map((word) => (word === 'CHART' ? CHART : word));
    const helmDriver = env === 'configmap' ? 'configmap' : 'secret';
    return start(helm, words, {
      env: helmEnvironment({ folder: cluster.folder, kubeconfig, driver: helmDriver }),
    });
  }
  async function runWith(outcome: 'Complete' | 'Failed', line: string): Promise<RunResult> {
    const ended: Promise<void>[] = [];
    onWrite = (object) => {
      if (isJob(object) && object.status === undefined)
        ended.push(admin.completeJob('prod', object.metadata.name, outcome));
    };
    const result = await begin(line).done;
    onWrite = () => {};
    await Promise.all(ended);
    return result;
  }
  async function request(path: string): Promise<readonly string[]> {
    const { status, body } = await rest.request('DELETE', path);
    if (status !== 200) throw new Error(`DELETE ${path}: ${status} ${body.detail}`);
    return body.next;
  }
  const environment = driver === 'secrets' ? '' : 'HELM_DRIVER=configmap ';
  const line = (command: string) => (command.startsWith('helm ') ? `${environment}${command}` : command);
  const inProd = (command: string) => line(`helm ${command} -n prod`);

  return {
    cluster,
    admin,
    line,
    run: (line) => runWith('Complete', line),
    async deploy(command) {
      const { code, stderr } = await runWith('Complete', inProd(command));
      if (code !== 0) throw new Error(`${command}: ${stderr}`);
    },
    async fail(command) {
      const { code } = await runWith('Failed', inProd(command));
      if (code === 0) throw new Error(`${command} did not fail`);
    },
    async die(command, after = isJob) {
      const running = begin(inProd(command));
      onWrite = (object) => after(object) && running.kill('SIGKILL');
      const { signal, stderr } = await running.done;
      onWrite = () => {};
      if (signal !== 'SIGKILL') throw new Error(`${command} ended by itself: ${stderr}`);
    },
    async setStatus(number, status) {
      const revision = (await stored(admin, driver)).find((candidate) => candidate.number === number);
      if (revision) await writeStatus(admin, revision, status);
    },
    async becomeStale() {
      cluster.clock.advance(STALE_AFTER_MS);
      await lockkeeper.installWebhook();
    },
    clear: (strategy) => request(`${LOCKS}/api?strategy=${strategy}&reason=its%20runner%20died`),
    request,
    async history() {
      return (await stored(admin, driver)).map(({ number, status }) => `${number} ${status}`);
    },
    async save() {
      const lists = KEPT.map(async ({ path, ...type }) =>
        (await admin.list(path)).map((object) => ({ ...object, ...type })),
      );
      return (await Promise.all(lists)).flat();
    },
    async load(objects) {
      for (const { path } of KEPT) await admin.remove(path);
      cluster.seed(objects);
    },
  };
}

const KEPT = [
  { path: '/api/v1/namespaces/prod/secrets', apiVersion: 'v1', kind: 'Secret' },
  { path: '/api/v1/namespaces/prod/configmaps', apiVersion: 'v1', kind: 'ConfigMap' },
  { path: '/apis/batch/v1/namespaces/prod/jobs', apiVersion: 'batch/v1', kind: 'Job' },
];

/** All revisions, oldest first. */
async function stored(admin: ApiClient, driver: Driver): Promise<Revision[]> {
  const records = await admin.list(`/api/v1/namespaces/prod/${driver}?labelSelector=owner%3Dhelm,name%3Dapi`);
  return records
    .flatMap(({ metadata }) => readRevision(driver, metadata) ?? [])
    .sort((a, b) => a.number - b.number);
}

function recordPath({ release, number }: Revision): string {
  return `/api/v1/namespaces/${release.namespace}/${release.driver}/${recordName(release.name, number)}`;
}

/** Where Helm keeps it: in the record's label and in its payload. */
async function writeStatus(admin: ApiClient, revision: Revision, status: string): Promise<void> {
  const path = recordPath(revision);
  const record = await admin.get(path);
  const { release } = record.data as { release: string };
  const inSecret = revision.release.driver === 'secrets';
  const written = inSecret ? Buffer.from(release, 'base64').toString() : release;
  const payload = JSON.parse(gunzipSync(Buffer.from(written, 'base64')).toString());
  payload.info.status = status;
  const packed = gzipSync(JSON.stringify(payload)).toString('base64');
  await admin.patch(path, {
    metadata: { labels: { status } },
    data: { release: inSecret ? Buffer.from(packed).toString('base64') : packed },
  });
}

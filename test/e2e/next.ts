/**
 * That the commands which Lockkeeper names after a clear work, with Lockkeeper in place, and that those which
 * it leaves out do not: asked of real Helm. One file for each version runs this.
 */
import { rm } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { gunzipSync, gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import type { Strategy } from '../../src/gate/clearing.ts';
import { type Driver, type Revision, readRevision, recordName } from '../../src/helm/release.ts';
import type { ApiClient } from '../clusters/client.ts';
import type { Cluster } from '../clusters/cluster.ts';
import { writeKubeconfig } from '../clusters/kubeconfig.ts';
import type { StoredObject } from '../clusters/kubernetes-object.ts';
import { REAL, startCluster } from '../clusters/start.ts';
import { type Write, watchWrites } from '../clusters/writes.ts';
import { type Doorway, startDoorway } from '../support/doorway.ts';
import { LOCKKEEPER } from '../support/lockkeeper.ts';
import { LOCKS, type RestClient, restClient } from '../support/rest.ts';
import { type HelmVersion, helmBinary } from '../tools/binaries.ts';
import { helmEnvironment, type RunningProgram, type RunResult, startHelm } from '../tools/run.ts';
import { CHART, lockkeeperOn, STALE_AFTER_MS } from './world.ts';

/** What a command that is not named does. An `install --replace` lets what was deployed stay so. */
type Outcome = RegExp | 'works' | 'leaves two deployed';

/** Helm 3.14.4 changed what `upgrade --install` does with what was uninstalled. */
interface Changed {
  readonly before3144: Outcome;
  readonly since: Outcome;
}

interface Ending {
  /** What is to be named, in this order. Each must work. */
  readonly next: readonly string[];
  /** What the others do. */
  readonly others: Readonly<Record<string, Outcome | Changed>>;
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
  [UPGRADE_INSTALL]: { before3144: NONE_DEPLOYED, since: 'works' },
} as const;

/** The same when something is deployed. */
const twoByNewer = {
  [UPGRADE_INSTALL]: { before3144: 'works', since: 'leaves two deployed' },
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
    make: async ({ deploy, die, renumber }) => {
      await deploy('install api CHART');
      // Seven upgrades later.
      await renumber(1, 8);
      await deploy('upgrade api CHART');
      await deploy('uninstall api --keep-history');
      await deploy('rollback api 8');
      await die('upgrade api CHART --set hook.pre=true');
    },
    history: ['8 superseded', '9 uninstalled', '10 deployed', '11 pending-upgrade'],
    'mark-failed': { next: [UPGRADE, rollback(10)], others: { ...inUse, ...twoByNewer } },
    delete: {
      next: [UPGRADE, rollback(10)],
      // Since 3.14.4, Helm asks revision 9, the last by name, whether the release is uninstalled.
      others: { ...inUse, [UPGRADE_INSTALL]: { before3144: 'works', since: IN_USE } },
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
      await die('uninstall api', ({ method }) => method === 'DELETE');
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
    make: async ({ doorway, deploy, fail, die }) => {
      await deploy('install api CHART');
      await fail('upgrade api CHART --set hook.post=true,message=second');
      const repair = doorway.refuse(
        ({ method, url = '' }) => method === 'PATCH' && /\/configmaps\/api(\?|$)/.test(url),
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

/**
 * On the embedded cluster every command is run after every clear. Helm decides by what is stored, so the real one,
 * where that would take minutes for all versions, runs each command once for each thing that it does: that the names
 * are right is asked there, too, in every situation and after every clear, and so is each kind of answer of Helm's.
 */
const seen = new Set<string>();

function isToBeRun(command: string, outcome: Outcome): boolean {
  const key = `${command}: ${outcome}`;
  const isNew = !seen.has(key);
  seen.add(key);
  return isNew || !REAL;
}

export function tellWhatComesNext(version: HelmVersion): void {
  for (const situation of SITUATIONS) {
    for (const driver of situation.drivers ?? (['secrets'] as const)) {
      t.test(`Helm ${version}, ${driver}: ${situation.name}`, async (t) => {
        const w = await world(t, version, driver);
        await situation.make(w);
        const locked = await w.save();
        t.same(await w.history(), situation.history, 'what is stored');
        const rest = await restOf(t, w);
        for (const strategy of ['mark-failed', 'delete'] as const) {
          const ending = situation[strategy];
          if (ending === undefined) continue;
          await t.test(strategy, async (t) => {
            await w.load(locked);
            const told = await clear(rest, `${LOCKS}/api?strategy=${strategy}&reason=its%20runner%20died`);
            if (strategy === 'mark-failed') await isExplained(t, w);
            await endsAs(t, { w, rest, version }, ending, told);
          });
        }
      });
    }
  }
}

/** Lockkeeper comes when all is long past, and is asked about everything from then on. */
async function restOf(t: Test, { cluster }: World): Promise<RestClient> {
  await cluster.letTimePass(STALE_AFTER_MS);
  return restClient(t, await lockkeeperOn(t, cluster), ALICE);
}

/** Clears a lock over REST. What works then. */
async function clear(rest: RestClient, path: string): Promise<readonly string[]> {
  const { status, body } = await rest.request('DELETE', path);
  if (status !== 200) throw new Error(`DELETE ${path}: ${status} ${body.detail}`);
  return body.next;
}

/** Who reads the history finds who cleared the lock, and why. */
async function isExplained(t: Test, w: World): Promise<void> {
  const command = w.line('helm history api -n prod --max 1');
  if (!isToBeRun(command, 'works')) return;
  const { stdout } = await w.run(command);
  t.match(
    stdout,
    /\sfailed\s.*Cleared by alice at \S+, was pending-\w+: no sign of life for .*; its runner died/,
  );
}

interface Cleared {
  readonly w: World;
  readonly rest: RestClient;
  readonly version: HelmVersion;
}

/** @param told what the clear told to do next */
async function endsAs(
  t: Test,
  { w, rest, version }: Cleared,
  { next, others }: Ending,
  told: readonly string[],
): Promise<void> {
  t.same(told, next.map(w.line), 'what is named');
  for (const command of [UPGRADE, UPGRADE_INSTALL, INSTALL]) {
    t.ok(next.includes(command) !== command in others, `${command} is named, or it is known why not`);
  }
  const cleared = await w.save();
  for (const command of next) {
    if (!isToBeRun(w.line(command), 'works')) continue;
    await w.load(cleared);
    await leads(t, w, rest, command);
  }
  for (const [command, outcome] of Object.entries(others)) {
    const expected = outcomeOf(outcome, version);
    if (!isToBeRun(w.line(command), expected)) continue;
    await w.load(cleared);
    if (typeof expected === 'string') await works(t, w, w.line(command), expected === 'works' ? 1 : 2);
    else t.match(await w.run(w.line(command)), { code: 1, stderr: expected }, `${command}: ${expected}`);
  }
}

function outcomeOf(outcome: Outcome | Changed, version: HelmVersion): Outcome {
  if (typeof outcome === 'string' || outcome instanceof RegExp) return outcome;
  return isBefore3144(version) ? outcome.before3144 : outcome.since;
}

function isBefore3144(version: HelmVersion): boolean {
  const [major = 0, minor = 0, patch = 0] = version.split('.').map(Number);
  return major === 3 && (minor < 14 || (minor === 14 && patch < 4));
}

/** A command works; a request to clear the next lock is followed by one that does. */
async function leads(t: Test, w: World, rest: RestClient, command: string): Promise<void> {
  if (command.startsWith('helm ')) return works(t, w, w.line(command));
  const [, path = ''] = command.split(' ');
  const [first = 'nothing'] = await clear(rest, path);
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
  readonly cluster: Cluster;
  readonly admin: ApiClient;
  /** Between Helm and the API server. */
  readonly doorway: Doorway;
  /** A Helm command that must succeed; every hook ends well. */
  deploy(command: string): Promise<void>;
  /** A Helm command that must fail; so does every hook. */
  fail(command: string): Promise<void>;
  /** A Helm command that is killed: before such a request of its reaches the API server, or else at its hook. */
  die(command: string, before?: (request: IncomingMessage) => boolean): Promise<void>;
  /** A command as `nextCommands` writes it for the driver. */
  line(command: string): string;
  /** Runs such a line in a shell whose namespace is another one; every hook ends well. */
  run(line: string): Promise<RunResult>;
  setStatus(revision: number, status: string): Promise<void>;
  renumber(revision: number, number: number): Promise<void>;
  /** Number and status of each revision, oldest first. */
  history(): Promise<string[]>;
  /** Helm's records, and what its charts made. */
  save(): Promise<readonly Saved[]>;
  /** So that nothing else is there, and nobody can be thought to work on it. */
  load(objects: readonly Saved[]): Promise<void>;
}

const ALICE = { username: 'alice' };

const isNewJob = ({ verb, object }: Write) => verb === 'ADDED' && object.kind === 'Job';

async function world(t: Test, version: HelmVersion, driver: Driver): Promise<World> {
  const cluster = await startCluster(t);
  const admin = await cluster.client();
  const keeper = await cluster.client(LOCKKEEPER);
  await admin.createNamespace('prod');
  const writes = await watchWrites(admin);
  t.teardown(() => writes.stop());
  const doorway = await startDoorway(t, cluster);
  const { helm } = await helmBinary(version);
  const content = { ...doorway, token: await cluster.token(ALICE), user: ALICE, namespace: undefined };
  const kubeconfig = await writeKubeconfig(cluster.folder, content);
  t.teardown(() => rm(kubeconfig));

  function begin(line: string): RunningProgram {
    const [, env, args = ''] = /^(?:HELM_DRIVER=(\S+) )?helm (.*)$/.exec(line) ?? [];
    const words = args.split(' ').map((word) => (word === 'CHART' ? CHART : word));
    const helmDriver = env === 'configmap' ? 'configmap' : 'secret';
    return startHelm(helm, words, {
      env: helmEnvironment({ folder: cluster.folder, kubeconfig, driver: helmDriver }),
    });
  }
  async function runWith(outcome: 'Complete' | 'Failed', line: string): Promise<RunResult> {
    const ended: Promise<void>[] = [];
    const off = writes.on((write) => {
      if (isNewJob(write)) ended.push(admin.completeJob('prod', write.object.metadata.name, outcome));
    });
    const result = await begin(line).done;
    off();
    await Promise.all(ended);
    return result;
  }
  const environment = driver === 'secrets' ? '' : 'HELM_DRIVER=configmap ';
  const line = (command: string) => (command.startsWith('helm ') ? `${environment}${command}` : command);
  const inProd = (command: string) => line(`helm ${command} -n prod`);

  return {
    cluster,
    admin,
    doorway,
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
    async die(command, before) {
      const running = begin(inProd(command));
      const kill = () => running.kill('SIGKILL');
      const off =
        before === undefined
          ? writes.on((write) => isNewJob(write) && kill())
          : doorway.stop((request) => (before(request) ? new Promise(kill) : undefined));
      const { signal, stderr } = await running.done;
      off();
      if (signal !== 'SIGKILL') throw new Error(`${command} ended by itself: ${stderr}`);
    },
    setStatus: (revision, status) => rewrite(admin, driver, revision, { status }),
    renumber: (revision, number) => rewrite(admin, driver, revision, { number }),
    async history() {
      return (await stored(admin, driver)).map(({ number, status }) => `${number} ${status}`);
    },
    async save() {
      const lists = KEPT.map(async (path) =>
        (await admin.list(path)).map((object) => ({ path, object: asSent(object) })),
      );
      return (await Promise.all(lists)).flat();
    },
    async load(saved) {
      for (const path of KEPT) await admin.remove(path);
      for (const { path, object } of saved.toSorted(newestFirst)) await restore(admin, keeper, path, object);
      await cluster.letTimePass(STALE_AFTER_MS);
    },
  };
}

/** Jobs stay as they are: Helm takes those of a hook away before it makes them anew. */
const KEPT = ['/api/v1/namespaces/prod/secrets', '/api/v1/namespaces/prod/configmaps'];

interface Saved {
  /** Of its collection. */
  readonly path: string;
  readonly object: Sent;
}

type Sent = ReturnType<typeof asSent>;

/** As its client sent it, and who owns which field: Helm 4 fails where somebody else does. */
function asSent({ type, data, metadata: { name, labels, annotations, managedFields } }: StoredObject) {
  return { type, data, metadata: { name, labels, annotations, managedFields } };
}

/** A record that comes in below the newest one passes no lock. */
function newestFirst({ object: one }: Saved, { object: other }: Saved): number {
  return other.metadata.name.localeCompare(one.metadata.name, 'en', { numeric: true });
}

/**
 * The API server asks nobody about a record that is pending only after it was created. One that is uninstalling passes a lock
 * above it by Lockkeeper's own hand alone.
 */
async function restore(admin: ApiClient, keeper: ApiClient, path: string, object: Sent): Promise<void> {
  const { managedFields: _owners, ...metadata } = object.metadata;
  const { status: _status, ...labels } = metadata.labels ?? {};
  await admin.create(path, { ...object, metadata: { ...metadata, labels } });
  await keeper.replace(`${path}/${metadata.name}`, object);
}

/** All revisions, oldest first. */
async function stored(admin: ApiClient, driver: Driver): Promise<Revision[]> {
  const records = await admin.list(`/api/v1/namespaces/prod/${driver}?labelSelector=owner%3Dhelm,name%3Dapi`);
  return records
    .flatMap(({ metadata }) => readRevision(driver, metadata) ?? [])
    .sort((a, b) => a.number - b.number);
}

/** Changes what Helm keeps both in the labels of a record and in its payload. */
async function rewrite(
  admin: ApiClient,
  driver: Driver,
  revision: number,
  change: { readonly status?: string; readonly number?: number },
): Promise<void> {
  const path = `/api/v1/namespaces/prod/${driver}`;
  const { metadata, ...record } = asSent(await admin.get(`${path}/${recordName('api', revision)}`));
  const { release } = record.data as { release: string };
  const inSecret = driver === 'secrets';
  const written = inSecret ? Buffer.from(release, 'base64').toString() : release;
  const payload = JSON.parse(gunzipSync(Buffer.from(written, 'base64')).toString());
  const { status = payload.info.status, number = revision } = change;
  payload.info.status = status;
  payload.version = number;
  const packed = gzipSync(JSON.stringify(payload)).toString('base64');
  const labels = { ...metadata.labels, status, version: String(number) };
  await admin.remove(`${path}/${metadata.name}`);
  await admin.create(path, {
    ...record,
    metadata: { name: recordName('api', number), labels },
    data: { release: inSecret ? Buffer.from(packed).toString('base64') : packed },
  });
}

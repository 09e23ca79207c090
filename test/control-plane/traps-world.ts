/**
 * Where the traps are shown: one real cluster with one webhook, and people who each have a namespace, and in it the
 * release `api`, to themselves. So they can be at work all at the same time, with a Helm of their own.
 */
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import type { ApiClient } from '../clusters/client.ts';
import type { ControlPlane } from '../clusters/control-plane/cluster.ts';
import type { StoredObject } from '../clusters/kubernetes-object.ts';
import { emptyControlPlane } from '../clusters/start.ts';
import { type Write, type Writes, watchWrites } from '../clusters/writes.ts';
import type { HelmDriver } from '../e2e/world.ts';
import { type HelmVersion, helmBinary } from '../tools/binaries.ts';
import { helmEnvironment, type RunningProgram, type RunResult, startHelm } from '../tools/run.ts';
import { type Ask, startWebhook, type Webhook } from './traps-webhook.ts';

/** Every Helm that the tests know, oldest first. */
export const ALL: readonly HelmVersion[] = ['3.8.0', '3.9.4', '3.17.3', '3.22.0', '4.1.4', '4.3.1'];

/** The oldest, and the newest of each line. */
export const ENDS: readonly HelmVersion[] = ['3.8.0', '3.22.0', '4.3.1'];

export const CHART = fileURLToPath(new URL('../fixtures/charts/traps', import.meta.url));

/** What becomes of the Jobs of hooks and tests as soon as they are there. */
type Hooks = 'run' | 'Complete' | 'Failed';

export interface World {
  readonly cluster: ControlPlane;
  readonly admin: ApiClient;
  readonly writes: Writes;
  readonly webhook: Webhook;
  /** Somebody new. */
  person(version: HelmVersion, driver?: HelmDriver): Promise<Person>;
  /** Somebody new for each version, all at once. */
  each(versions: readonly HelmVersion[], tell: (person: Person) => Promise<void>): Promise<void>;
}

export interface Person {
  readonly version: HelmVersion;
  readonly namespace: string;
  /** `run` at first: until somebody ends them. */
  hooks: Hooks;
  /** Starts a Helm command; `CHART` stands for the chart. */
  start(command: string): RunningProgram;
  /** Runs it to its end. */
  helm(command: string): Promise<RunResult>;
  /** @throws Error when it fails */
  works(command: string): Promise<RunResult>;
  /** Starts it, and resolves when the Job of this hook is there. */
  until(hook: string, command: string): Promise<RunningProgram>;
  /** Starts it with a hook before it, and kills it there. */
  dies(command: string): Promise<void>;
  endHook(hook: string, outcome: 'Complete' | 'Failed'): Promise<void>;
  /** Of `api`. @throws Error when there is none */
  record(revision: number): Promise<StoredObject>;
  /** Number and label of each revision, by number. */
  history(): Promise<string[]>;
  /** What the webhook was asked since the last call: `CREATE 2 pending-upgrade`, `DELETE 1`. */
  asked(): string[];
}

/** Ends with the test. */
export async function trapsWorld(t: Test): Promise<World> {
  const cluster = await emptyControlPlane(t);
  const admin = await cluster.client();
  const webhook = await startWebhook(t, admin, { name: 'traps' });
  const writes = await watchWrites(admin);
  const atWork = new Set<RunningProgram>();
  t.teardown(async () => {
    for (const program of atWork) program.kill('SIGKILL');
    await Promise.all([...atWork].map(({ done }) => done));
    writes.stop();
  });
  let people = 0;

  async function person(version: HelmVersion, driver: HelmDriver = 'secret'): Promise<Person> {
    people += 1;
    const namespace = `person-${people}`;
    await admin.createNamespace(namespace);
    const { helm: program } = await helmBinary(version);
    const kubeconfig = await cluster.kubeconfig({ user: { username: 'alice' }, namespace });
    const env = helmEnvironment({ folder: cluster.folder, kubeconfig, driver });
    const records = `/api/v1/namespaces/${namespace}/${driver}s`;
    let told = 0;
    writes.on(({ verb, object: { kind, metadata } }) => {
      const { hooks } = self;
      if (verb !== 'ADDED' || kind !== 'Job' || metadata.namespace !== namespace || hooks === 'run') return;
      void admin.completeJob(namespace, metadata.name, hooks);
    });

    const self: Person = {
      version,
      namespace,
      hooks: 'run',
      start(command) {
        const args = command.split(' ').map((word) => (word === 'CHART' ? CHART : word));
        const running = startHelm(program, args, { env });
        atWork.add(running);
        void running.done.finally(() => atWork.delete(running));
        return running;
      },
      helm: (command) => self.start(command).done,
      async works(command) {
        const result = await self.helm(command);
        if (result.code !== 0) throw new Error(`helm ${version} ${command}: ${result.stderr}`);
        return result;
      },
      async until(hook, command) {
        const job = writes.next(isJob(namespace, hook));
        const running = self.start(command);
        await job;
        return running;
      },
      async dies(command) {
        const running = await self.until('pre', `${command} --set hook.pre=true`);
        running.kill('SIGKILL');
        await running.done;
      },
      endHook: (hook, outcome) => admin.completeJob(namespace, `api-${hook}`, outcome),
      record: (revision) => admin.get(`${records}/sh.helm.release.v1.api.v${revision}`),
      history: async () =>
        (await admin.list(`${records}?labelSelector=owner%3Dhelm`)).map(stateOf).sort(byNumber),
      asked() {
        const asks = webhook.asks(namespace).slice(told);
        told += asks.length;
        return asks.filter((ask, index) => !isSameWrite(ask, asks[index - 1])).map(toldOf);
      },
    };
    return self;
  }

  return {
    cluster,
    admin,
    writes,
    webhook,
    person,
    async each(versions, tell) {
      await Promise.all(versions.map(async (version) => tell(await person(version))));
    },
  };
}

function stateOf({ metadata: { labels } }: StoredObject): string {
  return `${labels?.version} ${labels?.status}`;
}

function byNumber(one: string, other: string): number {
  return Number.parseInt(one, 10) - Number.parseInt(other, 10);
}

/** A webhook may be asked twice about one PUT: see trap 9. */
function isSameWrite(one: Ask, other: Ask | undefined): boolean {
  const writeOf = ({ operation, name, object }: Ask) => JSON.stringify([operation, name, object?.data]);
  return other !== undefined && writeOf(one) === writeOf(other);
}

function toldOf({ operation, name, object }: Ask): string {
  const number = /\d+$/.exec(name)?.[0];
  const status = object?.metadata.labels?.status;
  return `${operation} ${number}${status === undefined ? '' : ` ${status}`}`;
}

/** The Job of a hook of `api`, as it comes. */
export function isJob(namespace: string, hook: string): (write: Write) => boolean {
  return ({ verb, object: { kind, metadata } }) =>
    verb === 'ADDED' && kind === 'Job' && metadata.namespace === namespace && metadata.name === `api-${hook}`;
}

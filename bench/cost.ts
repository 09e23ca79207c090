/** What a deploy costs the API server: requests, of Helm and of Lockkeeper, and seats. */
import { setTimeout as pause } from 'node:timers/promises';
import type { AuditEvent } from '../test/control-plane/audit.ts';
import { GATE_WEBHOOKS_PATH, gateWebhook } from '../test/support/gate-webhook.ts';
import { record } from '../test/support/records.ts';
import { helmBinary } from '../test/tools/binaries.ts';
import { helmEnvironment, run } from '../test/tools/run.ts';
import { listenToAudit } from './audit.ts';
import type { Bench } from './measurement.ts';
import { digits, ms, type Section, type Table, times } from './report.ts';
import { LOCKKEEPER, NAMESPACE, onStage, REPOSITORY, type Serving, type Stage } from './stage.ts';
import { median } from './statistics.ts';

export const HELM = '4.1.4';

const CHART = `${REPOSITORY}/test/fixtures/charts/app`;

/** Blocks of each kind, in turn, and upgrades in each. */
const BLOCKS = 3;
const UPGRADES = 5;

const HELD = 10;

/** Lockkeeper has tidied up after a deploy when it has asked for nothing for so long. */
const QUIET_MS = 3_000;

const DEPLOYER = { username: 'alice' };

const SECRETS = `/api/v1/namespaces/${NAMESPACE}/secrets`;

interface Block {
  readonly upgradeMs: readonly number[];
  readonly events: readonly AuditEvent[];
}

interface Seats {
  readonly level: string;
  readonly before: number;
  readonly held: number;
}

export async function measureCost({ say }: Bench): Promise<Section> {
  return onStage(async (stage) => {
    const helm = await createHelm(stage);
    await helm('install');
    const without: Block[] = [];
    const guarded: Block[] = [];
    for (let block = 0; block < BLOCKS; block += 1) {
      without.push(await upgrades(stage, helm));
      const lockkeeper = await arm(stage);
      guarded.push(await upgrades(stage, helm));
      await disarm(stage, lockkeeper);
    }
    say(`${BLOCKS * UPGRADES} upgrades with Lockkeeper, and as many without`);
    return section(without, guarded, await countSeats(stage));
  });
}

type Helm = (verb: 'install' | 'upgrade') => Promise<number>;

async function createHelm({ cluster }: Stage): Promise<Helm> {
  const { helm } = await helmBinary(HELM);
  const kubeconfig = await cluster.kubeconfig({ user: DEPLOYER, namespace: NAMESPACE });
  const env = helmEnvironment({ folder: cluster.folder, kubeconfig });
  let count = 0;
  return async (verb) => {
    count += 1;
    const from = performance.now();
    const { code, stderr } = await run(helm, [verb, 'app', CHART, '--set', `message=m${count}`], { env });
    if (code !== 0) throw new Error(`helm ${verb} ended with ${code}: ${stderr}`);
    return performance.now() - from;
  };
}

async function upgrades(stage: Stage, helm: Helm): Promise<Block> {
  const audit = await listenToAudit(stage);
  const upgradeMs: number[] = [];
  for (let count = 0; count < UPGRADES; count += 1) upgradeMs.push(await helm('upgrade'));
  let events = await audit.events();
  for (let before = -1; before !== events.filter(isOfLockkeeper).length; ) {
    before = events.filter(isOfLockkeeper).length;
    await pause(QUIET_MS);
    events = await audit.events();
  }
  return { upgradeMs, events };
}

const isOfLockkeeper = ({ user }: AuditEvent) => user.username === LOCKKEEPER.username;
const isOfHelm = ({ user }: AuditEvent) => user.username === DEPLOYER.username;

/** Lockkeeper, when the API server asks it. */
async function arm({ lockkeeper, admin, caCertificate }: Stage): Promise<Serving> {
  const serving = await lockkeeper({ LOCKKEEPER_MAX_HELD: '100', LOCKKEEPER_HOLD_SECONDS: '10' });
  await admin.create(GATE_WEBHOOKS_PATH, gateWebhook({ url: serving.url, caCertificate }));
  while (!(await isAsked(admin)));
  return serving;
}

async function disarm({ admin }: Stage, lockkeeper: Serving): Promise<void> {
  await admin.remove(`${GATE_WEBHOOKS_PATH}/lockkeeper`);
  while (await isAsked(admin));
  await lockkeeper.stop();
}

/** A record whose name and labels disagree is refused by Lockkeeper, and by nobody else. */
async function isAsked(admin: Stage['admin']): Promise<boolean> {
  const { metadata, ...rest } = record('asked', 1, 'pending-install');
  const wrong = { ...rest, metadata: { ...metadata, labels: { ...metadata.labels, version: '2' } } };
  return (await admin.request('POST', `${SECRETS}?dryRun=All`, wrong)).code === 400;
}

/** Deploys are held, and the API server tells how many seats of their level are taken. */
async function countSeats(stage: Stage): Promise<Seats> {
  const { admin, cluster } = stage;
  const client = await cluster.client(DEPLOYER);
  const lockkeeper = await arm(stage);
  const names = Array.from({ length: HELD }, (_, number) => `held${number}`);
  const level = 'global-default';
  const before = await seatsTaken(admin, level);
  for (const name of names) await admin.create(SECRETS, record(name, 1, 'pending-install'));
  const deploys = names.map((name) => client.request('POST', SECRETS, record(name, 2, 'pending-upgrade')));
  await Promise.all(names.map((name) => lockkeeper.logs.line('held', ({ release }) => release === name)));
  const held = await seatsTaken(admin, level);
  const free = { metadata: { labels: { status: 'deployed' } } };
  for (const name of names) await admin.patch(`${SECRETS}/sh.helm.release.v1.${name}.v1`, free);
  await Promise.all(deploys);
  await disarm(stage, lockkeeper);
  return { level, before, held };
}

async function seatsTaken(admin: Stage['admin'], level: string): Promise<number> {
  const { body } = await admin.request<string>('GET', '/metrics');
  const name = 'apiserver_flowcontrol_current_executing_seats';
  const line = new RegExp(`^${name}\\{.*priority_level="${level}".*\\} (\\S+)$`, 'm').exec(body);
  return Number(line?.[1] ?? 0);
}

function section(without: readonly Block[], guarded: readonly Block[], seats: Seats): Section {
  const helmWithout = perDeploy(without, isOfHelm);
  const helmGuarded = perDeploy(guarded, isOfHelm);
  const ours = perDeploy(guarded, isOfLockkeeper);
  const [slow, fast] = [guarded, without].map((blocks) =>
    median(blocks.flatMap(({ upgradeMs }) => upgradeMs)),
  );
  return {
    title: 'What a deploy costs the API server',
    about: `\`helm upgrade\` of Helm ${HELM} on a chart with one ConfigMap, ${BLOCKS} times ${UPGRADES} with Lockkeeper and as many without, in turn.
Requests are those of the audit log, of Helm’s user and of Lockkeeper’s, its watches and what it does when a deploy has ended
included; but for its start.`,
    tables: [
      {
        head: ['a deploy, compared with none of Lockkeeper', ''],
        rows: [
          ['requests of Helm', times(helmGuarded / helmWithout)],
          ['requests of Helm and Lockkeeper', times((helmGuarded + ours) / helmWithout)],
          ['time of `helm upgrade`, median', times((slow ?? 0) / (fast ?? 1))],
        ],
      },
      {
        head: ['a deploy', 'without', 'with Lockkeeper'],
        rows: [
          ['requests of Helm', digits(helmWithout), digits(helmGuarded)],
          ['requests of Lockkeeper', '0', digits(ours)],
          ['time of `helm upgrade`, median', ms(fast ?? 0), ms(slow ?? 0)],
        ],
      },
      kindsTable(guarded),
    ],
    remarks: [
      `**Seats**: with no deploy under way, ${seats.before} seats of the level \`${seats.level}\` were taken; with ${HELD} deploys held, ${seats.held}.
A call that is held takes the seat of the client’s own request, and no other: Lockkeeper waits for a watch that is open anyway.`,
    ],
    targets: [],
  };
}

function perDeploy(blocks: readonly Block[], isOne: (event: AuditEvent) => boolean): number {
  const count = blocks.reduce((sum, { events }) => sum + events.filter(isOne).length, 0);
  return count / (blocks.length * UPGRADES);
}

/** What Lockkeeper asks for, by what it does to what. */
function kindsTable(blocks: readonly Block[]): Table {
  const kinds = new Map<string, number>();
  for (const event of blocks.flatMap(({ events }) => events).filter(isOfLockkeeper)) {
    const kind = `${event.verb} ${event.objectRef?.resource ?? event.requestURI}`;
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  }
  const rows = [...kinds].sort(([, one], [, other]) => other - one);
  return {
    head: ['requests of Lockkeeper for a deploy', ''],
    rows: rows.map(([kind, count]) => [kind, digits(count / (blocks.length * UPGRADES))]),
  };
}

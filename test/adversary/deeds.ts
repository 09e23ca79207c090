/** Does to the world what an operation says; to whom, its numbers choose among those that are there. */
import { setTimeout as delay } from 'node:timers/promises';
import { type Client, startReal, startSynthetic } from './clients.ts';
import {
  block,
  disturbWatches,
  endReplica,
  passTime,
  restart,
  rotate,
  setClock,
} from './cluster-operations.ts';
import type { Gateway, Identity } from './identities.ts';
import { clear, forge, relabel } from './lock-operations.ts';
import type { Kind, Operation, OperationOf } from './operations.ts';
import { endPod, replaceGateway } from './pod-operations.ts';
import { pick, type Stage, type StageRelease } from './stage.ts';
import type { Command } from './synthetic-helm.ts';

/** Resolves when it is done or well under way, with whether there was anybody to do it to. */
export async function perform(stage: Stage, operation: Operation): Promise<boolean> {
  const isDone = await act(stage, operation);
  await delay(operation.pauseMs);
  return isDone;
}

async function act(stage: Stage, operation: Operation): Promise<boolean> {
  switch (operation.op) {
    case 'start':
      return start(stage, operation);
    case 'end':
      return withClient(stage, operation, (client) => client.end(operation.outcome));
    case 'hook':
    case 'freeze':
    case 'resume':
    case 'kill': {
      const { op } = operation;
      return withClient(stage, operation, (client) => client[op]());
    }
    case 'endPod':
      return endPod(stage, operation);
    case 'replaceGateway':
      return replaceGateway(stage, operation);
    case 'clear':
      return clear(stage, operation);
    case 'relabel':
      return relabel(stage, operation);
    case 'forge':
      return forge(stage, operation);
    case 'SIGKILL':
    case 'SIGTERM':
      return endReplica(stage, operation);
    case 'cut':
    case 'stall':
      return disturbWatches(stage, operation);
    case 'clock':
      return setClock(stage, operation);
    case 'block':
      return block(stage, operation);
    case 'restart':
      return restart(stage);
    case 'rotate':
      return rotate(stage);
    case 'time':
      return passTime(stage.world, operation.minutes);
  }
}

let pods = 0;

async function start(stage: Stage, operation: OperationOf<'start'>): Promise<boolean> {
  const { world, releases } = stage;
  const { by, atOnce, isSlow } = operation;
  const { name, driver } = pick(releases, operation.release) as StageRelease;
  const command = commandOf(operation, name, driver);
  // Helm's binary knows Helm's own commands, and one token for all its life.
  const isReal = by !== 'synthetic' && isHelms(command) && operation.where !== 'gateway';
  const starting = Array.from({ length: isReal ? 1 : atOnce }, async () => {
    const identity = await identityOf(stage, operation, name);
    if (!isReal) return startSynthetic(command, identity, isSlow);
    return startReal(by as '4.1.4', command, identity, world.cluster, world.admin);
  });
  stage.clients.push(...(await Promise.all(starting)));
  return true;
}

function commandOf(operation: OperationOf<'start'>, release: string, driver: Command['driver']): Command {
  const { where, historyMax, atomic, keepHistory, isStrict } = operation;
  // Lockkeeper takes two jobs of one job pod for one, which rolls back or uninstalls by itself what it left pending.
  const verb = where === 'shared job pod' ? 'upgrade' : (operation.verb as Command['verb']);
  return { verb, release, driver, historyMax, atomic, keepHistory, isStrict };
}

function isHelms({ verb }: Command): boolean {
  return ['upgrade', 'rollback', 'uninstall'].includes(verb);
}

function identityOf(stage: Stage, operation: OperationOf<'start'>, release: string): Promise<Identity> {
  const { identities } = stage.world;
  switch (operation.where) {
    case 'person':
      return identities.person();
    case 'job pod':
      pods += 1;
      return identities.inJobPod(`${release}-${pods}`, operation.owner);
    case 'shared job pod':
      return identities.inJobPod(stage.sharedPod, operation.owner);
    default:
      return Promise.resolve((pick(stage.gateways, operation.gateway) as Gateway).identity());
  }
}

function withClient(
  { clients }: Stage,
  { client }: { readonly client: number },
  deed: (client: Client) => void,
): boolean {
  const chosen = pick(
    clients.filter((candidate) => !candidate.isOver()),
    client,
  );
  if (chosen !== undefined) deed(chosen);
  return chosen !== undefined;
}

/** Of an operation, for counts. */
export function kindOf({ op }: Operation): Kind {
  switch (op) {
    case 'hook':
    case 'freeze':
    case 'resume':
    case 'kill':
      return 'move';
    case 'SIGKILL':
    case 'SIGTERM':
      return 'replica';
    case 'cut':
    case 'stall':
      return 'watches';
    default:
      return op;
  }
}

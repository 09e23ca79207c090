/** Every command: what it is called, what `--help` says of it, and where it is, which is loaded when it is called. */
import { MAX_REASON_LENGTH } from '../gate/clearing.ts';
import type { Arguments, Flag } from './arguments.ts';
import { EXIT, type ExitCode } from './exit.ts';
import {
  ALL_NAMESPACES,
  CLUSTER_FLAGS,
  HELP,
  NAMESPACE,
  NO_CLEAR_STALE,
  OUTPUT,
  STALE_AFTER,
  timeoutFlag,
} from './flags.ts';
import { demandNode, SERVICE_NODE } from './node-version.ts';
import type { Terminal } from './terminal.ts';

export interface Command {
  readonly name: string;
  /** What it does, in a line of the overview. */
  readonly line: string;
  /** The same in a paragraph. */
  readonly about: string;
  readonly examples: readonly (readonly [why: string, command: string])[];
  readonly usage: string;
  readonly flags: readonly Flag[];
  readonly exits: readonly ExitCode[];
  /** Undefined as its end is a process that goes on. */
  readonly run: (
    args: Arguments,
    terminal: Terminal,
    after: readonly string[],
  ) => Promise<ExitCode | number | undefined>;
}

const ALWAYS = [EXIT.failed, EXIT.usage, EXIT.unreachable, EXIT.forbidden] as const;

function sorted(...codes: readonly ExitCode[]): readonly ExitCode[] {
  return [...codes, ...ALWAYS].sort((a, b) => a - b);
}

const LIST: Command = {
  name: 'list',
  line: 'Shows which releases are being deployed, by whom, and whether they still live',
  about:
    'Shows the locks: each release whose newest revision is pending. With Lockkeeper in the cluster, it tells who holds\n' +
    'them and how many wait; without it, what Helm’s records tell.',
  examples: [
    ['The locks in the namespace of the current context', 'lockkeeper list'],
    ['The locks of the whole cluster', 'lockkeeper list -A'],
    ['As the REST API has them', 'lockkeeper list -n prod -o json'],
  ],
  usage: 'lockkeeper list [-n NAMESPACE | -A] [options]',
  flags: [NAMESPACE, ALL_NAMESPACES, ...CLUSTER_FLAGS, OUTPUT, STALE_AFTER, HELP],
  exits: sorted(EXIT.fine),
  run: async (args, terminal) => (await import('./list.ts')).list(args, terminal),
};

const WAIT: Command = {
  name: 'wait',
  line: 'Waits until nobody deploys a release',
  about:
    'Waits until a release is free, and ends at once if it is. A watch tells when, so that it costs nothing to wait long.\n' +
    'It clears a stale lock that is in the way, and never a live one. Somebody else may deploy before you do:\n' +
    '"lockkeeper run" waits, and then deploys.',
  examples: [
    ['Until api is free, for ten minutes at most', 'lockkeeper wait api -n prod'],
    ['Is it free? This changes nothing', 'lockkeeper wait api -n prod --timeout 0 --no-clear-stale'],
  ],
  usage: 'lockkeeper wait RELEASE [options]',
  flags: [NAMESPACE, timeoutFlag('10m'), NO_CLEAR_STALE, ...CLUSTER_FLAGS, OUTPUT, STALE_AFTER, HELP],
  exits: sorted(EXIT.fine, EXIT.locked),
  run: async (args, terminal) => (await import('./wait.ts')).wait(args, terminal),
};

const CLEAR: Command = {
  name: 'clear',
  line: 'Ends the lock of a deploy that died',
  about:
    'Ends a stale lock: the revision is marked as failed, so that helm history shows who cleared it and why, and the next\n' +
    'deploy goes through. A live one is left alone, because a second deploy would run beside the first.',
  examples: [
    ['End the lock of a deploy that died', 'lockkeeper clear api -n prod --reason "job 4711 was cancelled"'],
    ['What would happen?', 'lockkeeper clear api -n prod --dry-run'],
    ['Only if it is still the revision that was seen', 'lockkeeper clear api -n prod --revision 6'],
    ['A live one whose holder is known to be dead', 'lockkeeper clear api -n prod --force'],
  ],
  usage: 'lockkeeper clear RELEASE [options]',
  flags: [
    NAMESPACE,
    { name: 'revision', value: 'NUMBER', text: 'Clear this revision only; leave any other one alone.' },
    {
      name: 'force',
      text: 'Clear it even if it is live. With Lockkeeper that takes a right, which the role admin has.',
    },
    {
      name: 'strategy',
      value: 'STRATEGY',
      text: 'mark-failed keeps the revision in helm history, delete removes its record. Default: mark-failed.',
      oneOf: ['mark-failed', 'delete'],
    },
    {
      name: 'reason',
      value: 'TEXT',
      text: `Why, for helm history and the Event, in at most ${MAX_REASON_LENGTH} characters.`,
    },
    { name: 'dry-run', text: 'Say what would happen, and change nothing.' },
    ...CLUSTER_FLAGS,
    OUTPUT,
    STALE_AFTER,
    HELP,
  ],
  exits: sorted(EXIT.fine, EXIT.live, EXIT.free, EXIT.changed),
  run: async (args, terminal) => (await import('./clear.ts')).clear(args, terminal),
};

const RUN: Command = {
  name: 'run',
  line: 'Waits its turn, runs Helm, and leaves no lock behind if Helm is killed',
  about:
    'Waits until the release is free, and then runs Helm as it is given after "--". It clears a stale lock that is in the\n' +
    'way, and never a live one. Release, namespace and cluster are those of Helm’s own arguments and environment. If Helm\n' +
    'is killed, or the job is cancelled, the lock that this Helm left behind is cleared: its records were seen when they\n' +
    'were made, and no other one is touched.',
  examples: [
    ['Deploy when it is our turn', 'lockkeeper run -- helm upgrade --install api ./chart -n prod'],
    ['Give up after a minute', 'lockkeeper run --timeout 1m -- helm rollback api -n prod'],
  ],
  usage: 'lockkeeper run [options] -- helm COMMAND [helm options]',
  flags: [
    timeoutFlag('10m'),
    NO_CLEAR_STALE,
    {
      name: 'grace',
      value: 'DURATION',
      text: 'How long Helm may take to end after SIGTERM or SIGINT, before it is killed. Default: 5s.',
    },
    {
      name: 'no-proxy',
      text: 'Let Helm talk to the cluster by itself. Then nothing is cleared if it is killed.',
    },
    STALE_AFTER,
    HELP,
  ],
  exits: sorted(EXIT.fine, EXIT.locked),
  run: async (args, terminal, after) => (await import('./run.ts')).runHelm(args, terminal, after),
};

const SERVE: Command = {
  name: 'serve',
  line: 'Runs the service, configured by its environment',
  about: 'Runs the admission service. It is configured by environment variables: see docs/operations.md.',
  examples: [['On a port of its own', 'LOCKKEEPER_PORT=9443 lockkeeper serve']],
  usage: 'lockkeeper serve',
  flags: [HELP],
  exits: [],
  async run() {
    demandNode('lockkeeper serve', SERVICE_NODE, process.versions.node);
    await import('../main.ts');
    return undefined;
  },
};

export const COMMANDS: readonly Command[] = [LIST, WAIT, CLEAR, RUN, SERVE];

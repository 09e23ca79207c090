/** The command line, checked: every wrong argument is found at once and said in words. */
import { isIP } from 'node:net';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

export interface Options {
  /** DNS names and IP addresses, in lower case and none twice. */
  readonly hosts: readonly string[];
  readonly folder: string;
  readonly days: number;
  /** Whether certificates that are there already are replaced. */
  readonly force: boolean;
}

export type Command =
  | { readonly kind: 'help' }
  | { readonly kind: 'issue'; readonly options: Options }
  | { readonly kind: 'wrong'; readonly problems: readonly string[] };

/** The Service of the Helm chart, as the API server and other pods call it, and a developer's own machine. */
export const DEFAULT_HOSTS: readonly string[] = [
  'lockkeeper.lockkeeper.svc',
  'lockkeeper.lockkeeper.svc.cluster.local',
  'localhost',
  '127.0.0.1',
  '::1',
];

/** Nothing renews these files, and whoever trusts them was told by hand. */
export const DEFAULT_DAYS = 365;

/** Ten years; a longer life is more likely a slip of the hand. */
export const MAX_DAYS = 3_650;

/** Where git ignores it. */
const DEFAULT_FOLDER = join(import.meta.dirname, 'issued');

const FLAGS = {
  host: { type: 'string', multiple: true },
  days: { type: 'string' },
  out: { type: 'string' },
  force: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

export function readOptions(args: readonly string[]): Command {
  const tokens = tokensOf(args);
  const given = tokens.filter((token) => token.kind === 'option');
  const isGiven = (flag: Flag) => given.some(({ name }) => name === flag);
  const valuesOf = (flag: Flag) => given.flatMap(({ name, value }) => (name === flag ? (value ?? []) : []));
  if (isGiven('help')) return { kind: 'help' };

  const hosts = isGiven('host') ? valuesOf('host') : DEFAULT_HOSTS;
  const days = valuesOf('days').at(-1) ?? String(DEFAULT_DAYS);
  const problems = tokens.flatMap(usageProblem);
  // What follows from a misused flag is no problem of its own.
  if (problems.length === 0) problems.push(...hosts.flatMap(hostProblem), ...daysProblem(days));
  if (problems.length > 0) return { kind: 'wrong', problems };

  return {
    kind: 'issue',
    options: {
      hosts: [...new Set(hosts.map((host) => host.toLowerCase()))],
      folder: valuesOf('out').at(-1) ?? DEFAULT_FOLDER,
      days: Number(days),
      force: isGiven('force'),
    },
  };
}

type Flag = keyof typeof FLAGS;
type Token = ReturnType<typeof tokensOf>[number];

/** Its strict mode would stop at the first problem, with hints that do not fit here; so tokens are checked below. */
function tokensOf(args: readonly string[]) {
  return parseArgs({ args: [...args], options: FLAGS, strict: false, tokens: true }).tokens;
}

function usageProblem(token: Token): string[] {
  if (token.kind === 'option-terminator') return [];
  if (token.kind === 'positional') return [`${JSON.stringify(token.value)} is not a flag`];
  const { name, rawName, value, inlineValue } = token;
  if (!isFlag(name)) return [`${rawName} is not a flag of this command`];
  if (FLAGS[name].type === 'boolean') return value === undefined ? [] : [`${rawName} takes no value`];
  // `--host --force` lacks a host, but `--days -1` and `--host=--force` have a value, if a wrong one.
  const missing = !value || (!inlineValue && /^--?[a-z]/i.test(value));
  return missing ? [`${rawName} needs a value`] : [];
}

function isFlag(name: string): name is Flag {
  return Object.hasOwn(FLAGS, name);
}

/** A label of RFC 1123: letters, digits and inner hyphens, 63 at most. */
const LABEL = /^[a-z\d]([a-z\d-]{0,61}[a-z\d])?$/i;

function hostProblem(host: string): string[] {
  // A zone, such as in fe80::1%eth0, means something on one machine only.
  const valid = isIP(host) === 0 ? isDnsName(host) : !host.includes('%');
  if (valid) return [];
  return [
    `--host ${host} is neither a DNS name (such as lockkeeper.lockkeeper.svc or *.example.com) nor an IP address; leave out scheme and port, and write --host before each`,
  ];
}

function isDnsName(host: string): boolean {
  const labels = host.replace(/^\*\.(?=[^.]+\.)/, '').split('.');
  // No top-level domain is a number: 10.0.0.256 and 10.0.0 were meant as addresses.
  return host.length <= 253 && labels.every((label) => LABEL.test(label)) && !/(^|\.)\d+$/.test(host);
}

function daysProblem(days: string): string[] {
  const valid = /^\d+$/.test(days) && Number(days) >= 1 && Number(days) <= MAX_DAYS;
  return valid ? [] : [`--days is ${JSON.stringify(days)}, but must be a whole number from 1 to ${MAX_DAYS}`];
}

/**
 * Starts programs of a rehearsed image as a pod would: as its user, with nothing that can be written. Where this process
 * may, that is a root of their own, read-only, in which there is nothing but the image and what is mounted. Where it may
 * not, it is as near to that as one comes, and {@link Confinement} says so.
 */
import { mkdir, readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { type RunningProgram, type RunOptions, run, start } from '../tools/run.ts';
import type { Image } from './build.ts';

/**
 * - `sealed`: its own root, read-only, without a shell; the image's user; no privilege to be had. It takes root, and the
 *   right to mount (CAP_SYS_ADMIN).
 * - `other-user`: the image's user, in a folder that belongs to root, but on this machine's file system. It takes root.
 * - `same-user`: no more than the folder and the environment. What it may write, it may write.
 */
export type Confinement = 'sealed' | 'other-user' | 'same-user';

/** What a pod would mount, where it would: a folder of this machine, by its path in the container. */
export type Mounts = Readonly<Record<string, string>>;

export interface ContainerOptions extends Pick<RunOptions, 'onOutput'> {
  readonly confinement: Confinement;
  /** In place of the image's CMD. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly mounts?: Mounts;
}

/** The strictest that this process may have. */
export async function strictestConfinement(): Promise<Confinement> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'same-user';
  const tried = run('unshare', [...OWN_MOUNTS, 'mount', '--bind', '/proc', '/proc']);
  const mayMount = await tried.then(
    ({ code }) => code === 0,
    () => false,
  );
  return mayMount ? 'sealed' : 'other-user';
}

const OWN_MOUNTS = ['--mount', '--propagation', 'private', '--'];

/** Arguments: the root, its uid, gid and workdir; folders and where to mount them, in pairs, up to `--`; the program. */
const SEAL = `
set -e
root=$1 uid=$2 gid=$3 workdir=$4
shift 4
mount --bind "$root" "$root"
mount --bind /proc "$root/proc"
while [ "$1" != -- ]; do
  mount --bind "$1" "$root$2"
  mount -o remount,bind,ro "$root$2"
  shift 2
done
shift
mount -o remount,bind,ro "$root"
exec setpriv --no-new-privs -- unshare --root="$root" --wd="$workdir" --setgid "$gid" --setuid "$uid" -- "$@"
`;

/** There is no such place, in the image or elsewhere. */
const NOWHERE = '/nonexistent';

/** As the base image sets it; there is nothing in these folders. */
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export async function startContainer(image: Image, options: ContainerOptions): Promise<RunningProgram> {
  const { confinement, args = image.cmd, mounts = {}, onOutput } = options;
  const { root, uid, gid, workdir, entrypoint } = image;
  const shared = onOutput ? { onOutput } : {};
  const values = Object.entries({ PATH, ...image.env, HOME: NOWHERE, TMPDIR: NOWHERE, ...options.env });
  // By a program, because tap adds to the environment of whatever a test starts.
  const environment = ['env', '-i', ...values.map(([name, value]) => `${name}=${value}`)];
  if (confinement === 'sealed') {
    for (const path of Object.keys(mounts)) await mkdir(join(root, path), { recursive: true });
    const pairs = Object.entries(mounts).flatMap(([to, from]) => [from, to]);
    const given = [root, String(uid), String(gid), workdir, ...pairs, '--', ...entrypoint, ...args];
    return start('unshare', [...OWN_MOUNTS, ...environment, 'sh', '-c', SEAL, 'sh', ...given], shared);
  }
  const [program = '', ...rest] = [
    ...environment,
    join(root, entrypoint[0] ?? ''),
    ...entrypoint.slice(1),
    ...args,
  ];
  return start(program, rest, {
    ...shared,
    cwd: join(root, workdir),
    ...(confinement === 'other-user' && { user: { uid, gid } }),
  });
}

/** O_WRONLY and O_RDWR of open(2). */
const WRITES = 3;

/** The files of a file system that a process holds open for writing; pipes and sockets are none. */
export async function filesOpenForWriting(pid: number): Promise<string[]> {
  const found: string[] = [];
  for (const descriptor of await readdir(`/proc/${pid}/fd`)) {
    const target = await readlink(`/proc/${pid}/fd/${descriptor}`);
    const info = await readFile(`/proc/${pid}/fdinfo/${descriptor}`, 'utf8');
    const flags = Number.parseInt(/^flags:\s+(\d+)$/m.exec(info)?.[1] ?? '', 8);
    if (target.startsWith('/') && (flags & WRITES) !== 0) found.push(target);
  }
  return found;
}

/** Of a process, as Linux tells it. */
export async function statusOf(pid: number): Promise<ReadonlyMap<string, string>> {
  const lines = (await readFile(`/proc/${pid}/status`, 'utf8')).trim().split('\n');
  return new Map(lines.map((line) => line.split(/:\s+/, 2) as [string, string]));
}

/** Linux tells it in hundredths of a second, whatever the kernel counts by. */
const TICK_MS = 10;

/** What a process has used of processors. */
export async function processorMsOf(pid: number): Promise<number> {
  // Its name, in parentheses, may have blanks in it.
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

/** A limit of memory for one process, as a container has one: V8 takes less for what is new where there is one. */
import { mkdir, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface MemoryLimit {
  /** The file that takes the number of whoever is to be limited. */
  readonly processes: string;
  /** When nobody is limited by it any more. */
  remove(): Promise<void>;
}

/** Where Linux keeps groups of processes, and what the limit of each is called: version 1 of cgroups, and 2. */
const PLACES = [
  { folder: '/sys/fs/cgroup/memory', limit: 'memory.limit_in_bytes' },
  { folder: '/sys/fs/cgroup', limit: 'memory.max' },
];

let made = 0;

/** Undefined where this user may not set one. */
export async function limitMemory(bytes: number): Promise<MemoryLimit | undefined> {
  for (const { folder, limit } of PLACES) {
    made += 1;
    const group = join(folder, `lockkeeper-${process.pid}-${made}`);
    const isMade = await mkdir(group).then(
      () => true,
      () => false,
    );
    if (!isMade) continue;
    const remove = () => rmdir(group);
    try {
      await writeFile(join(group, limit), String(bytes));
      return { processes: join(group, 'cgroup.procs'), remove };
    } catch {
      await remove();
    }
  }
  return undefined;
}

/** What to spawn, so that a program has this limit, if there is one, from its beginning on: V8 looks once. */
export function limitedTo(
  limit: MemoryLimit | undefined,
  program: string,
  args: readonly string[],
): [program: string, args: readonly string[]] {
  if (!limit) return [program, args];
  // The shell makes way for it, under its own number.
  return ['sh', ['-c', 'echo $$ > "$0" && exec "$@"', limit.processes, program, ...args]];
}

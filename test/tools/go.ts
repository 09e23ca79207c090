/**
 * Builds Go programs once and keeps them: in the user's cache folder, outside the checkout, under a name that changes
 * with everything that goes into them. A first build takes minutes, so it says how far it is.
 */
import { createHash, randomUUID } from 'node:crypto';
import { access, constants, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { type RunResult, start } from './run.ts';

type Environment = Readonly<Record<string, string | undefined>>;

export interface GoProgram {
  /** For people, and for the cached file. */
  readonly name: string;
  /**
   * The module in a folder, or another package of those that it requires, or a package of a released module:
   * `helm.sh/helm/v3/cmd/helm@v3.8.0`.
   */
  readonly from: { readonly folder: string; readonly package?: string } | { readonly released: string };
  /** For the linker, such as `-X main.version=1`. */
  readonly linkerFlags?: readonly string[];
}

export interface GoOptions {
  /** Told how far a build is, in one line; each line takes the place of the one before. */
  readonly onProgress?: (line: string) => void;
  /** What Go and this module may see. Default: what this process sees. */
  readonly env?: Environment;
  /** Ends a build that is under way. */
  readonly signal?: AbortSignal;
}

/** The program must be built, and there is no Go. */
export class GoIsMissing extends Error {}

/**
 * The path of the program, built now unless it was before. Several processes may ask for it at once.
 *
 * @throws GoIsMissing
 * @throws Error with the last lines of Go when it cannot be built
 */
export async function goProgram(program: GoProgram, options: GoOptions = {}): Promise<string> {
  const { env = process.env } = options;
  const path = join(cacheFolder(env), `${program.name}-${await fingerprint(program)}`);
  if (await isExecutable(path)) return path;
  // Each process builds for itself, the last rename wins, and what it replaces is the same.
  const folder = `${path}.${randomUUID()}`;
  const [output, temporary] = [join(folder, 'output'), join(folder, 'temporary')];
  try {
    for (const each of [output, temporary]) await mkdir(each, { recursive: true });
    // Go leaves its own temporary folder behind when it is interrupted.
    await build(program, output, { ...options, env: { ...env, GOTMPDIR: temporary } });
    const [built = ''] = await readdir(output);
    await rename(join(output, built), path);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return path;
}

/** Where programs are kept, by the convention of the XDG base directories. */
function cacheFolder(env: Environment): string {
  return join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'lockkeeper');
}

/** Of all that decides what the program does; the version of Go does not. */
async function fingerprint({ from, linkerFlags = [] }: GoProgram): Promise<string> {
  const hash = createHash('sha256');
  // Not where the folder is: all checkouts share what is built from the same sources.
  const what = 'folder' in from ? (from.package ?? '.') : from.released;
  hash.update(JSON.stringify([process.platform, process.arch, what, linkerFlags]));
  if ('folder' in from) {
    const files = await readdir(from.folder, { withFileTypes: true });
    const names = files.filter((file) => file.isFile()).map(({ name }) => name);
    for (const name of names.sort()) {
      if (/\.ts$/.test(name)) continue;
      const content = await readFile(join(from.folder, name));
      hash.update(`${name}\0${content.length}\0`).update(content);
    }
  }
  return hash.digest('hex').slice(0, 16);
}

async function build({ name, from, linkerFlags = [] }: GoProgram, folder: string, options: GoOptions) {
  const { env = process.env, onProgress = () => {}, signal } = options;
  const released = 'released' in from;
  const flags = ['-v', '-trimpath', '-buildvcs=false', '-ldflags', ['-s', '-w', ...linkerFlags].join(' ')];
  const args = released
    ? ['install', ...flags, from.released]
    : ['build', ...flags, '-o', join(folder, name), from.package ?? '.'];
  const startedAt = Date.now();
  const counts = { downloaded: 0, compiled: 0 };
  let rest = '';
  const running = start('go', args, {
    // Without cgo, no C compiler is needed. GOBIN is where `go install` puts the program.
    env: { ...(env as Record<string, string>), CGO_ENABLED: '0', ...(released && { GOBIN: folder }) },
    ...(!released && { cwd: from.folder }),
    onOutput(text) {
      const lines = (rest + text).split('\n');
      rest = lines.pop() as string;
      for (const line of lines) {
        if (line.startsWith('go: downloading ')) counts.downloaded += 1;
        else if (!line.startsWith('#')) counts.compiled += 1;
      }
      const seconds = Math.round((Date.now() - startedAt) / 1000);
      const { downloaded, compiled } = counts;
      onProgress(
        `building ${name}: ${downloaded} modules fetched, ${compiled} packages compiled, ${seconds}s`,
      );
    },
  });
  // As Ctrl-C does.
  const interrupt = () => running.kill('SIGINT');
  signal?.addEventListener('abort', interrupt);
  const { code, stderr } = await running.done
    .finally(() => signal?.removeEventListener('abort', interrupt))
    .catch((error: NodeJS.ErrnoException): RunResult => {
      if (error.code === 'ENOENT') throw new GoIsMissing(`there is no Go to build ${name} with`);
      throw error;
    });
  if (code !== 0) {
    throw new Error(`${name} could not be built:\n${stderr.trim().split('\n').slice(-20).join('\n')}`);
  }
}

function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

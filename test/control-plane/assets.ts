/**
 * Ready-made binaries by the names that envtest gives them: those of KUBEBUILDER_ASSETS, or such as are built here, for
 * which nearly all is compiled already.
 */
import { symlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Test } from 'tap';
import { versionFlags } from '../clusters/control-plane/programs.ts';
import { type GoOptions, type GoProgram, goProgram } from '../tools/go.ts';

const FOLDER = join(import.meta.dirname, '../clusters/control-plane');

/** What makes `startControlPlane` take them. */
export async function withAssets(t: Test): Promise<GoOptions> {
  if (process.env.KUBEBUILDER_ASSETS) return {};
  const programs: readonly GoProgram[] = [
    {
      name: 'kube-apiserver',
      from: { folder: FOLDER, package: 'k8s.io/kubernetes/cmd/kube-apiserver' },
      linkerFlags: await versionFlags(),
    },
    { name: 'etcd', from: { folder: FOLDER, package: 'go.etcd.io/etcd/server/v3' } },
  ];
  const folder = t.testdir({});
  for (const program of programs) await symlink(await goProgram(program), join(folder, program.name));
  return { env: { ...process.env, KUBEBUILDER_ASSETS: folder } };
}

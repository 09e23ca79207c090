/** What the numbers are from: the machine and the programs, and nothing that would tell whose machine it is. */
import { availableParallelism, cpus, totalmem } from 'node:os';
import { kubernetesVersion } from '../test/clusters/control-plane/programs.ts';
import { HELM } from './cost.ts';

export async function describeMachine(): Promise<string[]> {
  const [kubernetes] = await kubernetesVersion();
  const [cpu] = cpus();
  return [
    `${availableParallelism()} cores (${cpu?.model.trim() || 'of an unknown model'}), ${Math.round(totalmem() / 2 ** 30)} GiB of memory, ${process.platform}-${process.arch}`,
    `Node ${process.version}, Kubernetes ${kubernetes} with etcd, Helm ${HELM}`,
  ];
}

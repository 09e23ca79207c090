/**
 * The kubeconfig, and every way to log in that kubectl knows. Nothing else is imported as a value from the Kubernetes client,
 * because it brings all models of Kubernetes with it; what is built leaves them out (deploy/trim-client.ts).
 */
import { KubeConfig } from '@kubernetes/client-node';

/** One that names no cluster yet. */
export function newKubeConfig(): KubeConfig {
  return new KubeConfig();
}

/** A program that starts a control plane, tells where it is, and dies of an exception when it gets SIGUSR2. */
import { startControlPlane } from '../clusters/control-plane/cluster.ts';

const { url, etcd, folder } = await startControlPlane();
process.once('SIGUSR2', () => {
  throw new Error('nobody catches this');
});
console.log(JSON.stringify({ url, etcd, folder }));

/** The end of a gateway pod is taken for the end of whoever speaks through it. */
import { plant } from './plant.ts';

plant(
  '/src/gate/pod-kind.ts',
  "return holder?.podKind === 'job' ? holder.pod : undefined;",
  'return holder?.pod;',
);

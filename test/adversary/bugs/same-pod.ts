/** Whatever comes from the pod of the holder comes from its holder, even if that pod serves many. */
import { plant } from './plant.ts';

plant(
  '/src/gate/same-client.ts',
  "if (holder.pod === undefined || holder.podKind !== 'job') return 'same-client';",
  "if (holder.pod === undefined) return 'same-client';",
);

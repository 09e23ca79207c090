/** A record that is deployed from its start comes into being beside a live deploy. */
import { plant } from './plant.ts';

plant(
  '/src/gate/doors.ts',
  "if (!isPending(after)) return 'refuse';",
  "if (!isPending(after)) return 'allow';",
);

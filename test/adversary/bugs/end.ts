/** Any client may write `failed` into a live revision. */
import { plant } from './plant.ts';

plant(
  '/src/gate/doors.ts',
  "return isSuccess || relation === 'unknown-holder' ? 'allow-and-report' : 'refuse';",
  "return isSuccess ? 'allow' : 'allow-and-report';",
);

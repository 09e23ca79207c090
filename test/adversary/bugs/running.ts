/** A holder whose job pod runs may be silent for no longer than anybody else. */
import { plant } from './plant.ts';

plant(
  '/src/gate/verdict.ts',
  'return jobPodOf(holder) === undefined ? limits.staleAfterSeconds : limits.staleAfterRunningSeconds;',
  'return holder ? limits.staleAfterSeconds : limits.staleAfterSeconds;',
);

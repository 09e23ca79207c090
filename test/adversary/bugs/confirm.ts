/** A death that was proven once is not read again before the lock is cleared. */
import { plant } from './plant.ts';

plant(
  '/src/locks/deaths.ts',
  'if ((await reader.howItEnded(pod, signal)) !== undefined) return true;',
  'if (deaths.has(pod.uid)) return true;',
);

/** Whoever clears a lock, and names it by its uid, ends whatever has its number or its release by now. */
import { plant } from './plant.ts';

plant(
  '/src/locks/clear.ts',
  'return revision.number === number && revision.uid === uid;',
  'return revision.number === number || revision.uid === uid;',
);

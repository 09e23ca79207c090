/** A review that names the uid of a record makes its client the holder, whatever release it is about, and whatever is recorded. */
import { plant } from './plant.ts';

const KEY_OF = 'function keyOf({ release, number, uid }: RecordIdentity): string {';

plant('/src/locks/holders.ts', KEY_OF, `${KEY_OF} if (uid) return uid;`);
plant(
  '/src/locks/holders.ts',
  'if (claimed === undefined || recorded === undefined) return recorded ?? claimed;',
  'return claimed ?? recorded;',
);

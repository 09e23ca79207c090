/** The date of the last answer says how long a lock has been silent, each time that this is asked. */
import { plant } from './plant.ts';

plant('/src/locks/silence.ts', 'if (known !== undefined) return known;', '');
plant('/src/service.ts', 'earliestDate: connection.earliestDate', 'earliestDate: connection.date');

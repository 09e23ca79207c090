/** The Helms of npm, whose other stories `npm test` tells: that each is held, and comes back by itself. */
import { tellOfRetries } from '../e2e/stories.ts';

for (const version of ['3.9.4', '3.17.3', '4.1.4'] as const) tellOfRetries(version);

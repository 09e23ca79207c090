/** What `npm run bench` may run, and what each is given. */
import type { Section } from './report.ts';

export interface Bench {
  /** Everything, however long it takes. */
  readonly full: boolean;
  /** Tells people how far it is. */
  readonly say: (line: string) => void;
}

export type Measure = (bench: Bench) => Promise<Section>;

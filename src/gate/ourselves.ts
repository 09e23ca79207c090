/** Whether it is Lockkeeper that asks: what it decided, it may do. */
import type { Logger } from 'pino';
import type { Client } from './lock.ts';
import { userName } from './user-name.ts';

export type IsOurs = (client: Client, signal: AbortSignal) => Promise<boolean>;

export interface OurselvesOptions {
  /** The name that Lockkeeper itself goes by in the cluster. */
  readonly whoAmI: (signal: AbortSignal) => Promise<string>;
  readonly log: Logger;
}

export function createIsOurs({ whoAmI, log }: OurselvesOptions): IsOurs {
  return async ({ user }, signal) => {
    try {
      return user === userName(await whoAmI(signal));
    } catch (error) {
      log.warn({ reason: String(error) }, 'the API server does not say who lockkeeper is');
      return false;
    }
  };
}

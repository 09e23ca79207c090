/** The name by which a user goes in Lockkeeper, and in all that Lockkeeper writes. */
import { createHash } from 'node:crypto';
import { printable } from '../printable.ts';

/** The definition of a ReleaseLock takes no longer name. No user of a real cluster has one. */
const MAX_LENGTH = 1_024;

/**
 * Safe to show, and of bounded length. Different users have different names: of a name that is cut, the digest of the whole is
 * kept, in a form that no other name takes.
 * @param username as the API server says it
 */
export function userName(username: string): string {
  const name = printable(username);
  if (name.length <= MAX_LENGTH) return name;
  const digest = createHash('sha256').update(username).digest('hex');
  const mark = `\\u{…${digest}}`;
  // Nor half a character, nor what would make an escape of the mark.
  return `${name.slice(0, MAX_LENGTH - mark.length).replace(/[\ud800-\udbff]?\\*$/, '')}${mark}`;
}

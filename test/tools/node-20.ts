/** The oldest Node that the command line is for, or one that is as poor. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Where it is, and what it is told before it runs a program. */
export interface OldNode {
  readonly path: string;
  readonly args: readonly string[];
}

/** The one on the PATH; if there is none, this Node without what came after Node 20. */
export function findNode20(): OldNode {
  const folders = (process.env.PATH ?? '').split(delimiter);
  const candidates = folders.map((folder) => join(folder, 'node')).filter(existsSync);
  const path = candidates.find((candidate) => versionOf(candidate).startsWith('v20.'));
  return path === undefined ? { path: process.execPath, args: ['--import', WITHOUT] } : { path, args: [] };
}

function versionOf(path: string): string {
  return execFileSync(path, ['--version'], { encoding: 'utf8' });
}

/** What a program can meet of ES2024 and later, and of Node 21 and later. */
const WITHOUT = `data:text/javascript,${encodeURIComponent(`
  const gone = [
    [Object, 'groupBy'], [Map, 'groupBy'], [Promise, 'withResolvers'], [Promise, 'try'], [Array, 'fromAsync'],
    [RegExp, 'escape'], [Error, 'isError'], [JSON, 'rawJSON'], [Math, 'f16round'], [Uint8Array, 'fromBase64'],
    [Uint8Array.prototype, 'toBase64'], [process, 'getBuiltinModule'], [process, 'loadEnvFile'],
    ...['union', 'intersection', 'difference', 'symmetricDifference', 'isSubsetOf', 'isSupersetOf', 'isDisjointFrom']
      .map((name) => [Set.prototype, name]),
    ...['map', 'filter', 'take', 'drop', 'flatMap', 'reduce', 'toArray', 'forEach', 'some', 'every', 'find']
      .map((name) => [Iterator.prototype, name]),
    ...['Iterator', 'WebSocket', 'Float16Array', 'EventSource', 'navigator'].map((name) => [globalThis, name]),
  ];
  for (const [owner, name] of gone) delete owner[name];
  Object.defineProperty(process.versions, 'node', { value: '20.0.0' });
`)}`;

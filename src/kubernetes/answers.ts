/**
 * Whether an answer is what was asked for. A proxy on the way, or an API server in trouble, may answer 200 with something else; and
 * an empty list means that a release is free.
 */
import type { RecordMetadata } from '../helm/release.ts';

/** An object of this name, as the API server stores objects: with a uid. */
export function isObjectOf(answer: unknown, name: string): answer is { readonly metadata: RecordMetadata } {
  return isStored(answer) && answer.metadata.name === name;
}

/** A stored object: it has a name and a uid. */
export function isStored(answer: unknown): answer is { readonly metadata: RecordMetadata } {
  const { metadata } = Object(answer) as { metadata?: unknown };
  const { name, uid } = Object(metadata) as { name?: unknown; uid?: unknown };
  return typeof name === 'string' && name !== '' && typeof uid === 'string' && uid !== '';
}

/** A list, whatever is in it: the API server writes null for no items at all (seen: 1.37). */
export function isList(answer: unknown): answer is { readonly items: readonly unknown[] | null } {
  const { kind, metadata, items } = Object(answer) as Record<string, unknown>;
  const isKind = typeof kind === 'string' && kind.endsWith('List');
  return (
    isKind && typeof metadata === 'object' && metadata !== null && (items === null || Array.isArray(items))
  );
}

/**
 * Watches: a stream of JSON lines, resumed from a resourceVersion. What a watch with a selector sends for
 * an object that starts or stops matching is ADDED and DELETED, as the real server does it: DELETED is no
 * proof that the object is gone.
 */
import type { StoredObject } from '../kubernetes-object.ts';
import type { Representation } from './representation.ts';
import type { Predicate } from './selectors.ts';
import { expired, invalid, type Status } from './status.ts';
import type { Change, Store } from './store.ts';

export interface WatchRequest {
  /** `keyOf` the resource. */
  readonly resource: string;
  readonly matches: Predicate<StoredObject>;
  readonly representation: Representation;
  /** Undefined: from now, with an ADDED for every object that is there, and a bookmark behind them. */
  readonly from: number | undefined;
  readonly timeoutSeconds: number;
  readonly bookmarks: boolean;
  /** Where the stream goes: one line at a time. */
  readonly write: (line: string) => void;
  readonly end: () => void;
  /** Aborted when the client hangs up. */
  readonly signal: AbortSignal;
}

export interface Watches {
  /** Returns once the watch stands; it goes on until its signal, its timeout or `cut`. */
  start(request: WatchRequest): void;
  /** Ends every watch, as a restarting server does: the stream just ends. */
  cut(): void;
  /** While silent, watches stay open and deliver nothing; what happens meanwhile is lost to them. */
  silence(silent: boolean): void;
  /** How many are open. */
  open(): number;
}

export function createWatches(store: Store, bookmarkSeconds: number): Watches {
  const ends = new Set<() => void>();
  let silent = false;

  function start(request: WatchRequest) {
    const send = (type: string, object: object) => request.write(`${JSON.stringify({ type, object })}\n`);
    const backlog = request.from === undefined ? [] : store.since(request.from);
    if (!backlog) {
      const why = expired(`too old resource version: ${request.from} (${store.compacted()})`);
      send('ERROR', why.status satisfies Status);
      return request.end();
    }
    const deliver = (change: Change) => {
      const event = change.resource === request.resource && eventOf(change, request.matches);
      if (event && !silent) send(event.type, request.representation.one(event.object));
    };
    if (request.from === undefined) {
      sendCurrentState(request, send);
      if (request.bookmarks) send('BOOKMARK', request.representation.bookmark(store.revision(), true));
    }
    for (const change of backlog) deliver(change);
    const bookmark = () => {
      if (!silent) send('BOOKMARK', request.representation.bookmark(store.revision()));
    };
    const stops = [
      store.subscribe(deliver),
      every(request.bookmarks ? bookmarkSeconds * 1_000 : 0, bookmark),
      every(request.timeoutSeconds * 1_000, () => finish()),
    ];
    const finish = () => {
      if (!ends.delete(finish)) return;
      for (const stop of stops) stop();
      request.end();
    };
    ends.add(finish);
    request.signal.addEventListener('abort', finish, { once: true });
  }

  function sendCurrentState(
    { resource, matches, representation }: WatchRequest,
    send: (type: string, object: object) => void,
  ) {
    for (const object of store.list(resource)) if (matches(object)) send('ADDED', representation.one(object));
  }

  return {
    start,
    cut: () => {
      for (const end of [...ends]) end();
    },
    silence: (on) => {
      silent = on;
    },
    open: () => ends.size,
  };
}

function every(milliseconds: number, action: () => void): () => void {
  if (milliseconds === 0) return () => {};
  const timer = setInterval(action, milliseconds);
  return () => clearInterval(timer);
}

/** What a watch with this selector is told of a change, if anything. */
function eventOf(
  { verb, object, previous, revision }: Change,
  matches: Predicate<StoredObject>,
): { type: string; object: StoredObject } | undefined {
  const did = previous !== undefined && matches(previous);
  const does = verb !== 'DELETED' && matches(object);
  if (does) return { type: did ? 'MODIFIED' : 'ADDED', object };
  if (!did) return undefined;
  // The last state that matched, with the version of the change, so that a client can resume behind it.
  const metadata = { ...previous.metadata, resourceVersion: String(revision) };
  return { type: 'DELETED', object: { ...previous, metadata } };
}

/**
 * Whether a watch begins with the current state: when it asks for that, and when it names no version.
 * @throws ApiError 422
 */
export function readInitialEvents(query: URLSearchParams): boolean {
  const asked = query.get('sendInitialEvents');
  if (asked !== null && query.get('resourceVersionMatch') !== 'NotOlderThan') {
    const problem = 'Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan';
    throw invalid('ListOptions', 'meta.k8s.io', '', 'resourceVersionMatch', problem);
  }
  return asked === null ? /^0?$/.test(query.get('resourceVersion') ?? '') : asked === 'true';
}

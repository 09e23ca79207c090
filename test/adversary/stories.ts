/** Logs for tests of the checker, told a line a second, as the API server would write them. */
import t from 'tap';
import type { Driver } from '../../src/helm/release.ts';
import type { Entry, LoggedHolder, Told } from './log.ts';
import { encodePayload } from './payload.ts';
import { check } from './rules.ts';
import { LOCKKEEPER } from './violation.ts';

export const SECOND = 1_000;
export const MINUTE = 60 * SECOND;

const DRIVER: Driver = 'secrets';

/** One line of a story; `at` is the second in which it was asked, and answered a little later. */
export type Line = (at: number) => Entry;

/** Lines, one a second; a number lets so many seconds pass. */
export type Story = readonly (Line | number)[];

/** Its name, its lines, and the rules that it breaks, if it breaks any. */
export type Case = readonly [name: string, story: Story, ...rules: string[]];

export interface Write {
  readonly uid?: string;
  readonly by?: string;
  readonly podUid?: string | undefined;
  readonly json?: string;
  /** Seconds that the answer took. */
  readonly took?: number;
  /** The order of the storage, where it is not that of the story. */
  readonly version?: number;
  /** Beside those that Helm writes, or in place of them. */
  readonly labels?: Readonly<Record<string, string>>;
  readonly failedOpen?: readonly string[];
}

export const jsonOf = (status: string, description = 'x') =>
  `{"info":{"description":"${description}","status":"${status}"},"n":12345678901234567890}`;

function entry(at: number, changes: Partial<Entry>): Entry {
  return {
    verb: 'update',
    resource: DRIVER,
    name: '',
    user: 'alice',
    podUid: undefined,
    code: 200,
    message: '',
    failedOpen: [],
    askedAt: at * SECOND,
    answeredAt: at * SECOND + 100,
    asked: undefined,
    answer: undefined,
    ...changes,
  };
}

function write(revision: number, status: string, options: Write, verb: string): Line {
  const {
    uid = `uid-${revision}`,
    by = 'alice',
    podUid,
    json = jsonOf(status),
    took = 0.1,
    version,
    labels,
    failedOpen = [],
  } = options;
  const name = `sh.helm.release.v1.api.v${revision}`;
  return (at) => {
    const object = {
      metadata: {
        name,
        uid,
        resourceVersion: String(version ?? at * 10),
        labels: { owner: 'helm', name: 'api', version: String(revision), status, ...labels },
      },
      data: { release: encodePayload(DRIVER, json) },
    };
    const answeredAt = (at + took) * SECOND;
    return entry(at, { verb, name, user: by, podUid, failedOpen, answeredAt, asked: object, answer: object });
  };
}

export const create = (revision: number, status = 'pending-upgrade', options: Write = {}) =>
  write(revision, status, options, 'create');
export const put = (revision: number, status: string, options: Write = {}) =>
  write(revision, status, options, 'update');

/** As Lockkeeper marks a record. */
export const clear = (revision: number, by = 'bob', options: Write = {}) => {
  const json = jsonOf('failed', `Cleared by ${by} at now, was pending-upgrade: why`);
  return put(revision, 'failed', { by: LOCKKEEPER, json, ...options });
};

export const remove =
  (revision: number, by = 'bob', changes: Partial<Entry> = {}): Line =>
  (at) =>
    entry(at, {
      verb: 'delete',
      name: `sh.helm.release.v1.api.v${revision}`,
      user: by,
      answer: { details: { uid: `uid-${revision}` } },
      ...changes,
    });

/** A pod is made. Without an owner it runs one job. */
export const pod =
  (uid: string, owner?: string, annotations: Readonly<Record<string, string>> = {}): Line =>
  (at) => {
    const ownerReferences = owner === undefined ? [] : [{ kind: owner }];
    const answer = { metadata: { uid, ownerReferences, annotations } };
    return entry(at, { verb: 'create', resource: 'pods', name: uid, answer });
  };

export const podGone =
  (uid: string): Line =>
  (at) =>
    entry(at, { verb: 'delete', resource: 'pods', name: uid, answer: { metadata: { uid } } });

/** A ReleaseLock names the holder of the record of this revision. */
export const named =
  (revision: number, holder: LoggedHolder): Line =>
  (at) =>
    entry(at, {
      verb: 'create',
      resource: 'releaselocks',
      name: 'api',
      user: LOCKKEEPER,
      answer: { metadata: { uid: 'uid-of-rlock' }, spec: { recordUID: `uid-${revision}`, holder } },
    });

export const told =
  (what: Told): Line =>
  (at) =>
    entry(at, {
      verb: 'patch',
      resource: 'configmaps',
      name: 'told',
      answer: { data: { told: JSON.stringify(what) } },
    });

export const fault = (state: 'begins' | 'ends') => told({ what: 'fault', state });

export const timePasses = (ms: number) => [
  told({ what: 'time', ms, state: 'begins' }),
  told({ what: 'time', ms, state: 'ends' }),
];

/** What was asked for was refused, with these words. */
export const refused =
  (line: Line, message: string, changes: Partial<Entry> = {}): Line =>
  (at) => ({ ...line(at), code: 409, message, answer: { message }, ...changes });

const denied = (webhook: string) => `admission webhook "${webhook}.lockkeeper.dev" denied the request: …`;

export const byTheGate = (revision: number, options: Write = {}, status = 'pending-upgrade') =>
  refused(create(revision, status, options), denied('gate'));

export const byTheGuard = (by = 'bob', podUid?: string) =>
  refused(remove(2, by, { podUid }), denied('guard'));

/** An update is refused: 409 for good, 429 for now, 400 because it contradicts itself. */
export const byUpdates = (line: Line, code: 409 | 429 | 400 = 409) =>
  refused(line, denied('updates'), { code });

/** The client was told that it took too long; it may have been done. */
export const unanswered =
  (line: Line): Line =>
  (at) => {
    const { answer: _, ...rest } = line(at);
    const message = 'Timeout: request did not complete within requested timeout - context canceled';
    return { ...rest, code: 504, message, answer: { message } };
  };

export function entriesOf(story: Story): Entry[] {
  let at = 0;
  return story.flatMap((line) => {
    at += typeof line === 'number' ? line : 1;
    return typeof line === 'number' ? [] : [line(at)];
  });
}

/** A test for each. */
export function checkStories(cases: readonly Case[]): void {
  for (const [name, story, ...rules] of cases) {
    t.test(name, async (t) => {
      const found = check(entriesOf(story));
      t.same([...new Set(found.map(({ rule }) => rule))], rules);
    });
  }
}

/** Events about locks: each is about the record of a revision, and about its ReleaseLock as well. */
import type { Chapter } from '../gate/story.ts';
import type { EventRecorder, EventSubject, EventText } from '../kubernetes/events.ts';
import type { SubjectFor } from './recorded.ts';

const WARNINGS: readonly Chapter['reason'][] = ['Refused', 'Fenced', 'Ended', 'Stale'];

export function toEvent({ reason, message }: Chapter): EventText {
  return { type: WARNINGS.includes(reason) ? 'Warning' : 'Normal', reason, message };
}

export function recordSubject({ driver, ...object }: Chapter['record']): EventSubject {
  return { kind: driver === 'secrets' ? 'Secret' : 'ConfigMap', ...object };
}

/** Records each Event about a record once more, about the ReleaseLock of that record if there is one. */
export function alsoOnReleaseLocks(events: EventRecorder, subjectFor: SubjectFor): EventRecorder {
  return {
    async record(record, text, signal) {
      const entry = subjectFor(record);
      const subjects = entry === undefined ? [record] : [record, entry];
      await Promise.all(subjects.map((subject) => events.record(subject, text, signal)));
    },
  };
}

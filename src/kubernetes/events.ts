/** Kubernetes Events: what happened to an object, for `kubectl get events` beside it. They last an hour by default. */
import { createHash } from 'node:crypto';
import { timestamp } from '../timestamp.ts';
import { pathOf } from './client.ts';
import { isDone, type Requests } from './requests.ts';

/** Of what there are Events. */
const API_VERSIONS = { Secret: 'v1', ConfigMap: 'v1', ReleaseLock: 'lockkeeper.dev/v1alpha1' } as const;

export interface EventSubject {
  readonly kind: keyof typeof API_VERSIONS;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

export interface EventText {
  /** `Warning` is for what somebody should look at. */
  readonly type: 'Normal' | 'Warning';
  /** One word, in CamelCase, as machines filter by it. */
  readonly reason: string;
  readonly message: string;
  /** What is the same to every replica that would record this: the first one does, and nobody again while the Event lasts. */
  readonly once?: string;
}

export interface EventRecorder {
  record(subject: EventSubject, text: EventText, signal: AbortSignal): Promise<void>;
}

/** The API server takes no longer one. */
const MAX_MESSAGE_LENGTH = 1_024;

/** @param date milliseconds since 1970 */
export function createEventRecorder({ write }: Pick<Requests, 'write'>, date: () => number): EventRecorder {
  return {
    async record({ kind, namespace, name, uid }, { type, reason, message, once }, signal) {
      const now = timestamp(date());
      const prefix = `${name}.`.slice(-200);
      const named =
        once === undefined ? { generateName: prefix } : { name: `${prefix}${digest([uid, reason, once])}` };
      const recording = write(
        'POST',
        pathOf('events', namespace),
        {
          apiVersion: 'v1',
          kind: 'Event',
          metadata: { ...named, namespace },
          involvedObject: { apiVersion: API_VERSIONS[kind], kind, namespace, name, uid },
          type,
          reason,
          message: message.slice(0, MAX_MESSAGE_LENGTH),
          source: { component: 'lockkeeper' },
          firstTimestamp: now,
          lastTimestamp: now,
          count: 1,
        },
        signal,
      );
      await (once === undefined ? recording : isDone(recording, [409]));
    },
  };
}

function digest(parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16);
}

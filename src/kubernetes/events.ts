/** Kubernetes Events: what happened to an object, for `kubectl get events` beside it. They last an hour by default. */
import { timestamp } from '../timestamp.ts';
import { pathOf } from './client.ts';
import type { Requests } from './requests.ts';

export interface EventSubject {
  readonly kind: 'Secret' | 'ConfigMap';
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
}

export interface EventRecorder {
  record(subject: EventSubject, text: EventText, signal: AbortSignal): Promise<void>;
}

/** The API server takes no longer one. */
const MAX_MESSAGE_LENGTH = 1_024;

/** @param date milliseconds since 1970 */
export function createEventRecorder({ write }: Pick<Requests, 'write'>, date: () => number): EventRecorder {
  return {
    async record({ kind, namespace, name, uid }, { type, reason, message }, signal) {
      const now = timestamp(date());
      await write(
        'POST',
        pathOf('events', namespace),
        {
          apiVersion: 'v1',
          kind: 'Event',
          metadata: { generateName: `${name}.`.slice(-200), namespace },
          involvedObject: { apiVersion: 'v1', kind, namespace, name, uid },
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
    },
  };
}

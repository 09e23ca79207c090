/** What the API server asks when a ReleaseLock is deleted, in place of Lockkeeper: it answers as a test needs it. */
import type { Test } from 'tap';
import {
  CONFIGURATIONS,
  configurationOf,
  type Decide,
  type FakeWebhook,
  startFakeWebhook,
} from '../clusters/fake-webhook.ts';
import type { StoredObject } from '../clusters/kubernetes-object.ts';
import { helmRecord, pathOf } from '../support/clearing.ts';
import type { CliWorld } from './world.ts';

export const RELEASE_LOCKS = '/apis/lockkeeper.dev/v1alpha1/namespaces/prod/releaselocks';

export const HOLDER = {
  user: 'system:serviceaccount:ci:runner',
  pod: { namespace: 'ci', name: 'runner-7f9c', uid: 'pod-uid' },
};

export interface ReleaseLockFields {
  readonly verdict?: string;
  readonly reason?: string;
  readonly holder?: object;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** As Lockkeeper writes it, for revision 6 of `prod/api`. */
export async function releaseLock(
  { admin }: Pick<CliWorld, 'admin'>,
  record: StoredObject,
  fields: ReleaseLockFields = {},
): Promise<StoredObject> {
  const { verdict = 'live', reason = 'its holder, pod ci/runner-7f9c, is gone', holder = HOLDER } = fields;
  const { creationTimestamp: since, uid: recordUID } = record.metadata;
  const spec = { driver: 'secrets', revision: 6, status: 'pending-upgrade', recordUID, since, holder };
  const made = await admin.create(RELEASE_LOCKS, {
    apiVersion: 'lockkeeper.dev/v1alpha1',
    kind: 'ReleaseLock',
    metadata: {
      name: 'api',
      namespace: 'prod',
      ...(fields.annotations && { annotations: fields.annotations }),
    },
    spec,
  });
  await judged({ admin }, verdict, reason, since);
  return made;
}

export async function judged(
  { admin }: Pick<CliWorld, 'admin'>,
  verdict: string,
  reason: string,
  lastActivity: string | undefined,
): Promise<void> {
  await admin.patch(`${RELEASE_LOCKS}/api/status`, { status: { verdict, reason, lastActivity, waiting: 2 } });
}

/** Marks revision 6 as failed, as Lockkeeper does before it lets a ReleaseLock go. */
export async function fail({ admin }: Pick<CliWorld, 'admin'>): Promise<void> {
  await admin.replace(pathOf('secrets', 6), helmRecord(6, 'failed'));
}

/** Asked about each deletion of a ReleaseLock. */
export async function doorOf(t: Test, { admin }: CliWorld, decide: Decide): Promise<FakeWebhook> {
  const webhook = await startFakeWebhook(t);
  webhook.decide(decide);
  const rules = [
    {
      operations: ['DELETE'],
      apiGroups: ['lockkeeper.dev'],
      apiVersions: ['*'],
      resources: ['releaselocks'],
    },
  ];
  await admin.create(CONFIGURATIONS, configurationOf(webhook, { rules }, 'lockkeeper.dev'));
  return webhook;
}

/** Reviews that no API server has sent. */
import { recordName } from '../../src/helm/release.ts';
import { NAMESPACE } from './log.ts';
import type { OperationOf } from './operations.ts';
import type { PendingRecord } from './world.ts';

interface Forgery {
  readonly as: OperationOf<'forge'>['as'];
  /** Of the pod that is to hold the lock, and of the release that is not there. */
  readonly name: string;
  readonly podUid: string;
}

/** The review of a creation, with the uid of a record that is stored: everybody can read it in its ReleaseLock. */
export function forgedReview({ driver, release, revision, uid }: PendingRecord, forgery: Forgery): object {
  const { as, name, podUid } = forgery;
  const [claimed, number] = {
    'another release': [name, 1],
    'the release': [release, revision],
    'the next revision': [release, revision + 1],
  }[as] as [string, number];
  const record = recordName(claimed, number);
  return {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: crypto.randomUUID(),
      kind: { group: '', version: 'v1', kind: driver === 'secrets' ? 'Secret' : 'ConfigMap' },
      resource: { group: '', version: 'v1', resource: driver },
      operation: 'CREATE',
      namespace: NAMESPACE,
      name: record,
      dryRun: false,
      userInfo: {
        username: `system:serviceaccount:${NAMESPACE}:runner`,
        groups: ['system:serviceaccounts'],
        extra: {
          'authentication.kubernetes.io/pod-name': [name],
          'authentication.kubernetes.io/pod-uid': [podUid],
        },
      },
      object: {
        metadata: {
          name: record,
          namespace: NAMESPACE,
          uid,
          labels: { owner: 'helm', name: claimed, status: 'pending-upgrade', version: String(number) },
        },
        ...(driver === 'secrets' && { type: 'helm.sh/release.v1' }),
        data: { release: '' },
      },
      oldObject: null,
    },
  };
}

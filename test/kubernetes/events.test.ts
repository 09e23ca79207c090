/** Events as `kubectl get events` and `kubectl describe` find them. */
import t from 'tap';
import { createEventRecorder } from '../../src/kubernetes/events.ts';
import { createRequests } from '../../src/kubernetes/requests.ts';
import { failure, never, startMeddling } from '../support/clearing.ts';

const EVENTS = '/api/v1/namespaces/prod/events';
const AT = Date.parse('2026-11-22T18:03:23.456Z');

t.test('an Event is about one object, and of this moment', async (t) => {
  const { admin, connection } = await startMeddling(t);
  const { record } = createEventRecorder(createRequests({ connection, pool: 'errands' }), () => AT);
  for (const kind of ['Secret', 'ConfigMap'] as const) {
    for (const type of ['Normal', 'Warning'] as const) {
      const uid = `${kind}-${type}`;
      const name = `a.record.of.${type.toLowerCase()}`;
      await record(
        { kind, namespace: 'prod', name, uid },
        { type, reason: 'Cleared', message: 'Grüße' },
        never,
      );
      const found = await admin.list(`${EVENTS}?fieldSelector=involvedObject.uid=${uid}`);
      t.match(found, [{ metadata: { name: new RegExp(`^${name}\\.`) } }]);
      const { metadata: _metadata, ...event } = found[0] ?? { metadata: {} };
      t.same(event, {
        involvedObject: { apiVersion: 'v1', kind, namespace: 'prod', name, uid },
        type,
        reason: 'Cleared',
        message: 'Grüße',
        source: { component: 'lockkeeper' },
        firstTimestamp: '2026-11-22T18:03:23Z',
        lastTimestamp: '2026-11-22T18:03:23Z',
        count: 1,
        // What newer clients write in their place.
        eventTime: null,
        reportingComponent: '',
        reportingInstance: '',
      });
    }
  }
});

t.test('an Event about a ReleaseLock says of which API that is', async (t) => {
  const { admin, connection } = await startMeddling(t);
  const { record } = createEventRecorder(createRequests({ connection, pool: 'errands' }), () => AT);
  const subject = { kind: 'ReleaseLock', namespace: 'prod', name: 'api', uid: 'u' } as const;
  await record(subject, { type: 'Warning', reason: 'Stale', message: 'm' }, never);
  const involvedObject = { ...subject, apiVersion: 'lockkeeper.dev/v1alpha1' };
  t.match(await admin.list(`${EVENTS}?fieldSelector=involvedObject.uid=u`), [{ involvedObject }]);
});

t.test(
  'what is to be recorded once is recorded by the first, for each object, reason and occasion',
  async (t) => {
    const { admin, connection, on } = await startMeddling(t);
    const recorders = [1, 2].map(() =>
      createEventRecorder(createRequests({ connection, pool: 'errands' }), () => AT),
    );
    const subject = { kind: 'Secret', namespace: 'prod', name: 'x'.repeat(253), uid: 'u' } as const;
    const text = { type: 'Warning', reason: 'Stale', message: 'm', once: 'expired 1' } as const;
    for (const { record } of recorders) {
      await record(subject, text, never);
      await record(subject, { ...text, once: 'expired 2' }, never);
      await record(subject, { ...text, reason: 'Other' }, never);
      await record({ ...subject, uid: 'another' }, text, never);
    }
    t.equal((await admin.list(EVENTS)).length, 4);
    on('POST', () => ({ status: 403 }));
    const refused = recorders[0]?.record(subject, { ...text, once: 'expired 3' }, never) ?? Promise.resolve();
    t.match(await failure(refused), { status: 403 }, 'what is refused is an error all the same');
  },
);

t.test('what is too long for the API server is cut', async (t) => {
  const { admin, connection } = await startMeddling(t);
  const { record } = createEventRecorder(createRequests({ connection, pool: 'errands' }), () => AT);
  const name = `start.${'x'.repeat(240)}.end`;
  const message = `${'m'.repeat(1_024)}rest`;
  const subject = { kind: 'Secret', namespace: 'prod', name, uid: 'u' } as const;
  await record(subject, { type: 'Normal', reason: 'Cleared', message }, never);
  const [event] = await admin.list(EVENTS);
  t.equal(event?.message, 'm'.repeat(1_024));
  t.match(event?.metadata.name, /^x+\.end\.[^.]+$/);
  t.match(event?.involvedObject, { name }, 'but not the name of what it is about');
});

t.test('an Event that cannot be recorded is an error', async (t) => {
  const { connection, on } = await startMeddling(t);
  const { record } = createEventRecorder(createRequests({ connection, pool: 'errands' }), () => AT);
  on('POST', () => ({ status: 403 }));
  const subject = { kind: 'Secret', namespace: 'prod', name: 'x', uid: 'u' } as const;
  const recording = record(subject, { type: 'Normal', reason: 'Cleared', message: '' }, never);
  t.match(await failure(recording), { status: 403 });
});

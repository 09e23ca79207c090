import t from 'tap';
import { readEntry } from './log.ts';

const LINE = {
  stage: 'ResponseComplete',
  verb: 'update',
  requestURI: '/api/v1/namespaces/adversary/secrets/sh.helm.release.v1.api.v2',
  user: { username: 'alice', extra: { 'authentication.kubernetes.io/pod-uid': ['pod-2'] } },
  objectRef: { resource: 'secrets', namespace: 'adversary', name: 'sh.helm.release.v1.api.v2' },
  responseStatus: { code: 200 },
  requestReceivedTimestamp: '2026-12-01T00:00:00.000000Z',
  stageTimestamp: '2026-12-01T00:00:01.000000Z',
  annotations: {
    'authorization.k8s.io/decision': 'allow',
    'failed-open.validating.webhook.admission.k8s.io/round_0_index_2': 'updates.lockkeeper.dev',
  },
};

t.test('a line tells who wrote what, when, and which webhook was passed over', async (t) => {
  t.match(readEntry(JSON.stringify(LINE)), {
    verb: 'update',
    name: 'sh.helm.release.v1.api.v2',
    user: 'alice',
    podUid: 'pod-2',
    code: 200,
    failedOpen: ['updates.lockkeeper.dev'],
    askedAt: Date.parse('2026-12-01T00:00:00Z'),
    answeredAt: Date.parse('2026-12-01T00:00:01Z'),
  });
  const { annotations: _, ...rest } = LINE;
  t.same(readEntry(JSON.stringify(rest))?.failedOpen, []);
});

const OTHERS = [
  { ...LINE, objectRef: { ...LINE.objectRef, namespace: 'prod' } },
  { ...LINE, objectRef: { ...LINE.objectRef, resource: 'services' } },
  { ...LINE, objectRef: { ...LINE.objectRef, subresource: 'status' } },
  { ...LINE, verb: 'get' },
  { ...LINE, stage: 'ResponseStarted' },
  { ...LINE, requestURI: `${LINE.requestURI}?dryRun=All` },
];

t.test('a line that no rule is about is none', async (t) => {
  for (const other of OTHERS) t.equal(readEntry(JSON.stringify(other)), undefined);
});

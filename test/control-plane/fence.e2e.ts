/** The fence (deploy/chart/templates/fence.yaml) alone: there is no Lockkeeper here, and it holds all the same. */
import t, { type Test } from 'tap';
import type { ApiClient } from '../clusters/client.ts';
import { ownControlPlane } from '../clusters/start.ts';
import type { HelmDriver } from '../e2e/world.ts';
import { STATUSES } from '../support/statuses.ts';
import type { HelmVersion } from '../tools/binaries.ts';
import type { RunningProgram } from '../tools/run.ts';
import { auditEvents } from './audit.ts';
import { type Crew, crew, historyOf, nameAt, noFence, type Place, putUpFence, VERSIONS } from './crew.ts';
import { hookOf, inWordsOf, ORDINARY_STEPS, type Step } from './ordinary-commands.ts';

// What its audit log tells of refusals is to be of these tests.
await ownControlPlane(t);

const PENDING = ['pending-install', 'pending-upgrade', 'pending-rollback'];

/** What a status never becomes. */
const NEVER: Readonly<Record<string, readonly string[]>> = {
  deployed: PENDING,
  failed: ['deployed', ...PENDING],
  superseded: ['deployed', ...PENDING],
  uninstalling: ['deployed', ...PENDING],
  uninstalled: ['deployed', ...PENDING],
};

const RECORD_TYPE = 'helm.sh/release.v1';

const KINDS = [
  { resource: 'secrets', type: RECORD_TYPE, helm: 'helm' },
  { resource: 'configmaps', type: undefined, helm: 'HELM_DRIVER=configmap helm' },
] as const;

interface RecordOptions {
  readonly name?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly type?: string | undefined;
}

function record(status: string, { name = 'sh.helm.release.v1.api.v6', labels = {}, type }: RecordOptions) {
  const metadata = { name, labels: { owner: 'helm', name: 'api', version: '6', status, ...labels } };
  return { metadata, ...(type && { type }) };
}

async function cluster(t: Test): Promise<ApiClient> {
  const { admin } = await crew(t);
  await putUpFence(admin);
  return admin;
}

for (const { resource, type, helm } of KINDS) {
  const path = `/api/v1/namespaces/prod/${resource}`;
  const stored = `${path}/sh.helm.release.v1.api.v6`;

  t.test(`${resource}: a revision that has ended stays ended`, async (t) => {
    const admin = await cluster(t);
    for (const was of STATUSES) {
      await admin.create(path, record(was, { type }));
      const answers = STATUSES.map(async (becomes) => {
        const change = record(becomes, { type });
        const { code } = await admin.request('PUT', `${stored}?dryRun=All`, change);
        return [becomes, code] as const;
      });
      const refused = (await Promise.all(answers)).flatMap(([becomes, code]) =>
        code === 403 ? becomes : [],
      );
      t.same(refused.sort(), [...(NEVER[was] ?? [])].sort(), `${was} never becomes`);
      await admin.remove(stored);
    }
  });

  t.test(`${resource}: who is refused reads why, and what to type`, async (t) => {
    const admin = await cluster(t);
    await admin.create(path, record('failed', { type }));
    const { body } = await admin.request<{ message: string }>('PUT', stored, record('deployed', { type }));
    t.equal(
      body.message.replace(/^.* denied request: /, ''),
      'release prod/api: revision 6 is failed and cannot become deployed again: whoever writes this has lost its ' +
        'lock, or knows the record only as it was before somebody else came. The record stays as it is; what was ' +
        `changed in the cluster was not undone. To see who came: ${helm} history api -n prod. If yours is still ` +
        'wanted, deploy again. To write it all the same, a cluster-admin deletes the fence for as long as it takes: ' +
        'kubectl delete validatingadmissionpolicybinding lockkeeper-fence',
    );
  });

  t.test(`${resource}: whatever way it is written, and whoever writes`, async (t) => {
    const admin = await cluster(t);
    await admin.create(path, record('superseded', { type }));
    const change = { metadata: { labels: { status: 'deployed' } } };
    const apply = JSON.stringify({ apiVersion: 'v1', kind: type ? 'Secret' : 'ConfigMap', ...change });
    for (const [contentType, body] of [
      ['application/merge-patch+json', change],
      ['application/strategic-merge-patch+json', change],
      [
        'application/json-patch+json',
        [{ op: 'replace', path: '/metadata/labels/status', value: 'deployed' }],
      ],
      ['application/apply-patch+yaml', apply],
    ] as const) {
      const query = contentType.includes('apply') ? '?fieldManager=somebody&force=true' : '';
      const headers = { 'content-type': contentType };
      const { code } = await admin.request('PATCH', `${stored}${query}`, body, { headers });
      t.equal(code, 403, contentType);
    }
  });

  t.test(
    `${resource}: anybody may annotate and delete a record, and take it out of Helm's sight`,
    async (t) => {
      const admin = await cluster(t);
      await admin.create(path, record('failed', { type }));
      await admin.patch(stored, { metadata: { annotations: { team: 'red' } } });
      await admin.patch(stored, { metadata: { labels: { owner: null } } });
      await admin.patch(stored, { metadata: { labels: null } });
      await admin.patch(stored, record('failed', {}));
      await admin.remove(stored);
      t.equal((await admin.request('GET', stored)).code, 404);
    },
  );

  t.test(`${resource}: records without the labels that Helm gives them`, async (t) => {
    const admin = await cluster(t);
    await admin.create(path, {
      metadata: { name: 'sh.helm.release.v1.api.v6', labels: { owner: 'helm' } },
      type,
    });
    await admin.patch(stored, { metadata: { labels: { status: 'failed' } } });
    const { code, body } = await admin.request<{ message: string }>('PUT', stored, {
      metadata: { name: 'sh.helm.release.v1.api.v6', labels: { owner: 'helm', status: 'deployed' } },
      type,
    });
    t.equal(code, 403);
    t.match(
      body.message,
      /denied request: release prod\/: revision {2}is failed and cannot become deployed again/,
    );
  });
}

t.test('what is no record of Helm is nobody’s concern', async (t) => {
  const admin = await cluster(t);
  const path = '/api/v1/namespaces/prod/secrets';
  for (const [name, options] of Object.entries({
    'of-another-type': { type: 'Opaque' },
    'of-another-owner': { type: RECORD_TYPE, labels: { owner: 'somebody' } },
  })) {
    await admin.create(path, record('failed', { name, ...options }));
    await admin.replace(`${path}/${name}`, record('deployed', { name, ...options }));
    t.pass(name);
  }
});

/** What the fence refused, also what Helm only logs. */
async function refused({ cluster }: Crew, release: string): Promise<string[]> {
  return (await auditEvents(cluster))
    .filter(
      ({ responseStatus, objectRef }) => responseStatus?.code === 403 && objectRef?.name?.includes(release),
    )
    .map(({ verb, objectRef }) => `${verb} ${objectRef?.name}`);
}

async function take({ helm, writes }: Crew, place: Place, release: string, step: Step) {
  const line = inWordsOf(place.version, step.command).replace(/\bR\b/, release);
  if (step.ends === 'well' || step.ends === 'badly') return helm(place, line).done;
  const job = `${release}-${hookOf(step)}`;
  const runs = writes.next(({ verb, object }) => verb === 'ADDED' && object.metadata.name === job);
  const running = helm(place, line);
  // One that fails before its hook is no reason to wait for ever.
  await Promise.race([runs, running.done]);
  running.kill(step.ends);
  return running.done;
}

/** The driver matters to how a record is written, and not to what Helm writes into it; so each Helm has one. */
const DRIVERS: Readonly<Record<HelmVersion, HelmDriver>> = {
  '3.8.0': 'secret',
  '3.9.4': 'configmap',
  '3.17.3': 'secret',
  '3.22.0': 'configmap',
  '4.1.4': 'configmap',
  '4.3.1': 'secret',
};

t.test('no ordinary command of any Helm needs what the fence forbids', async (t) => {
  const c = await crew(t);
  await putUpFence(c.admin);
  async function live(version: HelmVersion): Promise<void> {
    const place = { version, driver: DRIVERS[version] };
    const release = nameAt(place, 'api');
    const surprises: object[] = [];
    for (const step of ORDINARY_STEPS) {
      const { code, stderr } = await take(c, place, release, step);
      if ((code === 0) !== (step.ends === 'well')) surprises.push({ ...step, code, stderr });
    }
    t.same(
      { surprises, left: await historyOf(c, place, release), refused: await refused(c, release) },
      { surprises: [], left: [], refused: [] },
      `Helm ${version}: none of ${ORDINARY_STEPS.length} ordinary commands needs what the fence forbids`,
    );
  }
  await Promise.all(VERSIONS.map(live));
});

/** A `helm test` holds a copy of the newest record, which it writes at its end, whatever became of it meanwhile. */
const TESTS = [
  {
    began: 'before an upgrade',
    // The test starts first.
    order: ['test', 'pre-upgrade'],
    installed: 'install R CHART --set hooks={test},outcome=Never',
    history: { without: ['1 deployed', '2 deployed'], with: ['1 superseded', '2 deployed'] },
    refusal: /revision 1 is superseded and cannot become deployed again: /,
  },
  {
    began: 'during an upgrade',
    order: ['pre-upgrade', 'test'],
    installed: 'install R CHART',
    history: { without: ['1 superseded', '2 pending-upgrade'], with: ['1 superseded', '2 deployed'] },
    refusal: /revision 2 is deployed and cannot become pending-upgrade again: /,
  },
] as const;

const COMMANDS = {
  test: 'test R',
  'pre-upgrade': 'upgrade R CHART --set hooks={pre-upgrade,test},outcome=Never',
} as const;

/** Starts both, each up to its hook; then the upgrade ends, and after it the test. */
async function testBesideUpgrade(
  c: Crew,
  place: Place,
  release: string,
  order: readonly (keyof typeof COMMANDS)[],
) {
  const running = new Map<string, RunningProgram>();
  for (const hook of order) {
    const job = `${release}-${hook}`;
    const begins = c.writes.next(({ verb, object }) => verb === 'ADDED' && object.metadata.name === job);
    running.set(hook, c.helm(place, COMMANDS[hook].replace('R', release)));
    await begins;
  }
  const codes: (number | null | undefined)[] = [];
  let stderr = '';
  for (const hook of ['pre-upgrade', 'test']) {
    await c.admin.completeJob('prod', `${release}-${hook}`, 'Complete');
    const result = await running.get(hook)?.done;
    codes.push(result?.code);
    stderr = result?.stderr ?? '';
  }
  return { codes, stderr };
}

for (const { began, order, installed, history, refusal } of TESTS) {
  t.test(`a helm test that began ${began} does not undo it`, async (t) => {
    const c = await crew(t);
    const places = VERSIONS.map((version) => ({ version, driver: DRIVERS[version] }));
    // No Helm forbids it by itself: the oldest and the newest show that it is the fence that does.
    const free = places.filter((_, index) => index === 0 || index === places.length - 1);
    const tested = async (place: Place, release: string) => {
      await take(c, place, release, { command: installed, ends: 'well' });
      const outcome = await testBesideUpgrade(c, place, release, order);
      return { ...outcome, history: await historyOf(c, place, release) };
    };
    await noFence(c.admin);
    await Promise.all(
      free.map(async (place) => {
        const outcome = await tested(place, nameAt(place, 'free'));
        const expected = { codes: [0, 0], history: history.without };
        t.match(
          outcome,
          expected,
          `Helm ${place.version}: without the fence, a helm test that began ${began} undoes it`,
        );
      }),
    );
    await putUpFence(c.admin);
    await Promise.all(
      places.map(async (place) => {
        const release = nameAt(place, `${order[0]}-fenced`);
        const outcome = await tested(place, release);
        const expected = { codes: [0, 1], stderr: refusal, history: history.with };
        t.match(
          outcome,
          expected,
          `Helm ${place.version}: with the fence, a helm test that began ${began} fails, and says why`,
        );
        // So a refusal would have been found above, too, where none is expected.
        while ((await refused(c, release)).length === 0);
      }),
    );
  });
}

/** What the name and the labels of a record say. */
import fc from 'fast-check';
import t from 'tap';
import {
  DRIVERS,
  isPending,
  isRecordName,
  PENDING_SELECTOR,
  parseRecordName,
  parseRevisionNumber,
  readRevision,
  recordName,
  releaseKey,
  releasesSelector,
} from '../../src/helm/release.ts';

/** Helm's own rule: DNS-1123 subdomains of 53 characters at most (helm.sh/helm/v3/pkg/chartutil/validate_name.go). */
const label = '[a-z0-9](?:[-a-z0-9]{0,12}[a-z0-9])?';
const releaseNames = fc
  .stringMatching(new RegExp(`^${label}(?:\\.${label}){0,3}$`))
  .filter((name) => name.length <= 53);
const versionedNames = fc.tuple(releaseNames, fc.nat()).map(([name, n]) => `${name.slice(0, 40)}x.v${n}`);
const revisions = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });

t.test('a record name is split on its last .v', async (t) => {
  const rows: [record: string, release: string, revision: number][] = [
    ['sh.helm.release.v1.api.v1', 'api', 1],
    ['sh.helm.release.v1.api.v10', 'api', 10],
    ['sh.helm.release.v1.app.v2.v1', 'app.v2', 1],
    ['sh.helm.release.v1.a.v1.v2.v3', 'a.v1.v2', 3],
    ['sh.helm.release.v1.v1.v2', 'v1', 2],
    ['sh.helm.release.v1.v.v1', 'v', 1],
    ['sh.helm.release.v1.a.v.v1', 'a.v', 1],
    ['sh.helm.release.v1.a.vault.v1', 'a.vault', 1],
    ['sh.helm.release.v1.sh.helm.release.v1.v1', 'sh.helm.release.v1', 1],
    ['sh.helm.release.v1.a.v1', 'a', 1],
    ['sh.helm.release.v1.0.v1', '0', 1],
    [`sh.helm.release.v1.${'a'.repeat(53)}.v9007199254740991`, 'a'.repeat(53), Number.MAX_SAFE_INTEGER],
  ];
  for (const [record, release, revision] of rows) {
    t.strictSame(parseRecordName(record), { release, revision }, record);
    t.equal(recordName(release, revision), record, 'and back');
    t.ok(isRecordName(record));
  }
});

t.test('what is not a record name is not read as one', async (t) => {
  const rows: [name: string, claims: boolean][] = [
    ['', false],
    ['api', false],
    ['api.v1', false],
    ['sh.helm.release.v2.api.v1', false],
    ['x.sh.helm.release.v1.api.v1', false],
    ['SH.HELM.RELEASE.V1.api.v1', false],
    ['sh.helm.release.v1', false],
    ['sh.helm.release.v1.', true],
    ['sh.helm.release.v1.v1', true],
    ['sh.helm.release.v1..v1', true],
    ['sh.helm.release.v1.api', true],
    ['sh.helm.release.v1.api.v', true],
    ['sh.helm.release.v1.api.1', true],
    ['sh.helm.release.v1.api.V1', true],
    ['sh.helm.release.v1.api.v0', true],
    ['sh.helm.release.v1.api.v01', true],
    ['sh.helm.release.v1.api.v-1', true],
    ['sh.helm.release.v1.api.v1e3', true],
    ['sh.helm.release.v1.api.v1 ', true],
    ['sh.helm.release.v1.api.v1.backup', true],
    ['sh.helm.release.v1.api.v9007199254740993', true],
  ];
  for (const [name, claims] of rows) {
    t.equal(parseRecordName(name), undefined, JSON.stringify(name));
    t.equal(
      isRecordName(name),
      claims,
      `${JSON.stringify(name)} ${claims ? 'claims' : 'does not claim'} to be one`,
    );
  }
});

t.test('every valid release name and number survives being made a record name', async () => {
  fc.assert(
    fc.property(fc.oneof(releaseNames, versionedNames), revisions, (release, revision) => {
      const parsed = parseRecordName(recordName(release, revision));
      return parsed?.release === release && parsed.revision === revision;
    }),
  );
});

t.test('no two names are read as the same record', async () => {
  const claims = fc.string({ unit: fc.constantFrom('.', 'v', '0', '1', '9', 'a', '-', ' ', '+') });
  fc.assert(
    fc.property(claims, (rest) => {
      const name = `sh.helm.release.v1.${rest}`;
      const parsed = parseRecordName(name);
      return parsed === undefined || recordName(parsed.release, parsed.revision) === name;
    }),
    { numRuns: 2_000 },
  );
});

t.test('revision numbers are written as Helm writes them', async (t) => {
  for (const [text, number] of [
    ['1', 1],
    ['10', 10],
    ['9007199254740991', Number.MAX_SAFE_INTEGER],
  ] as const) {
    t.equal(parseRevisionNumber(text), number, text);
  }
  const wrong = ['', '0', '01', '-1', '+1', '1.0', '1e3', '0x1', ' 1', '1\n', 'one', '١', '9007199254740992'];
  for (const text of [...wrong, '9007199254740993', '9'.repeat(400), undefined]) {
    t.equal(parseRevisionNumber(text), undefined, JSON.stringify(text));
  }
});

t.test('only three statuses are pending', async (t) => {
  for (const status of ['pending-install', 'pending-upgrade', 'pending-rollback'])
    t.ok(isPending(status), status);
  const others = ['unknown', 'deployed', 'uninstalled', 'superseded', 'failed', 'uninstalling'];
  for (const status of [...others, '', 'pending', 'Pending-Install', 'pending-upgrade ', undefined]) {
    t.notOk(isPending(status), JSON.stringify(status));
  }
});

t.test('the selectors are what Helm’s own labels are matched by', async (t) => {
  t.equal(PENDING_SELECTOR, 'owner=helm,status in (pending-install,pending-upgrade,pending-rollback)');
  t.equal(releasesSelector(['app.v2']), 'owner=helm,name=app.v2');
  t.equal(releasesSelector(['api', 'web']), 'owner=helm,name in (api,web)');
});

t.test('the key of a release is its own', async (t) => {
  const keys = DRIVERS.flatMap((driver) =>
    ['prod', 'prod-a'].flatMap((namespace) =>
      ['a', 'a-a', 'a.a'].map((name) => releaseKey({ driver, namespace, name })),
    ),
  );
  t.equal(new Set(keys).size, 12);
  t.equal(
    releaseKey({ driver: 'secrets', namespace: 'prod', name: 'a' }),
    releaseKey({ name: 'a', namespace: 'prod', driver: 'secrets' }),
  );
});

t.test('a revision is read from metadata', async (t) => {
  const complete = {
    name: 'sh.helm.release.v1.app.v2.v7',
    namespace: 'prod',
    uid: '3e97dead-63b1-4a04-83fb-aebf37a44497',
    creationTimestamp: '2026-11-22T13:00:00Z',
    resourceVersion: '815',
    labels: { owner: 'helm', name: 'app.v2', version: '7', status: 'pending-upgrade' },
  };
  const revision = {
    release: { driver: 'secrets', namespace: 'prod', name: 'app.v2' },
    number: 7,
    status: 'pending-upgrade',
    uid: '3e97dead-63b1-4a04-83fb-aebf37a44497',
    resourceVersion: '815',
    createdAt: Date.parse('2026-11-22T13:00:00Z'),
    lastWriteAt: Date.parse('2026-11-22T13:00:00Z'),
  } as const;
  const { labels: _labels, ...unlabelled } = complete;

  t.strictSame(readRevision('secrets', complete), revision);
  t.strictSame(
    readRevision('configmaps', complete),
    { ...revision, release: { ...revision.release, driver: 'configmaps' } },
    'of the driver it was found in',
  );
  t.strictSame(
    readRevision('secrets', { ...complete, labels: { ...complete.labels, name: 'api', version: '1' } }),
    revision,
    'whose name decides, not its labels',
  );
  for (const metadata of [
    unlabelled,
    { ...complete, labels: {} },
    { ...complete, labels: { owner: 'helm' } },
  ]) {
    const read = readRevision('secrets', metadata);
    t.strictSame(read, { ...revision, status: '' }, 'without a status');
    t.notOk(isPending(read?.status), 'which is not pending');
  }
  const { creationTimestamp: _timestamp, ...ageless } = complete;
  for (const metadata of [ageless, { ...complete, creationTimestamp: 'yesterday' }]) {
    t.strictSame(
      readRevision('secrets', metadata),
      { ...revision, createdAt: 0, lastWriteAt: 0 },
      'without an age',
    );
  }
  t.strictSame(
    readRevision('secrets', { name: complete.name }),
    {
      release: { ...revision.release, namespace: '' },
      number: 7,
      status: '',
      uid: '',
      resourceVersion: '',
      createdAt: 0,
      lastWriteAt: 0,
    },
    'that has nothing but a name',
  );
  for (const metadata of [
    {},
    { ...complete, name: 'default-token-abcde' },
    { ...complete, name: 'api.v7' },
  ]) {
    t.equal(readRevision('secrets', metadata), undefined, 'unless the name is no record’s');
  }
});

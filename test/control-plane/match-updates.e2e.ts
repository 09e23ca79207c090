/** Which updates the API server asks Lockkeeper about: a deploy makes several, and one of them ends its lock. */
import t from 'tap';
import { isPending, RECORD_TYPE } from '../../src/helm/release.ts';
import { STATUSES } from '../support/statuses.ts';
import { askingCluster, helm, type Labels, objectOf, PATHS, RECORD } from './asking-cluster.ts';

/** As a label; the empty string is none. The last but one is none of Helm's. */
const LABELS = [...STATUSES, 'restored', ''];

/** What ends a lock, and what begins an uninstall. */
function isAskedAbout(was: string, becomes: string): boolean {
  return (isPending(was) && !isPending(becomes)) || (becomes === 'uninstalling' && was !== 'uninstalling');
}

t.test('of the updates of a record, it hears which lock ends, and where an uninstall begins', async (t) => {
  const w = await askingCluster(t);
  for (const kind of ['Secret', 'ConfigMap'] as const) {
    for (const [index, was] of LABELS.entries()) {
      const release = `r${index}`;
      const sort = { kind, ...(kind === 'Secret' && { type: RECORD_TYPE }) };
      const labels = (status: string) => ({
        ...helm(status),
        name: release,
        ...(status === '' && { status: undefined }),
      });
      const object = (status: string) => ({
        ...objectOf(sort, 1),
        metadata: { name: `${RECORD}${release}.v1`, labels: labels(status) },
      });
      await w.admin.create(PATHS[kind], object(was));
      const heard: string[] = [];
      for (const becomes of LABELS) {
        const asked = await w.asksAbout('PUT', `${PATHS[kind]}/${RECORD}${release}.v1`, object(becomes));
        if (asked) heard.push(becomes);
      }
      t.same(
        heard,
        LABELS.filter((becomes) => isAskedAbout(was, becomes)),
        `${kind}: ${was || 'no status'} becomes`,
      );
    }
  }
});

interface Relabelling {
  readonly was: Labels;
  /** Null takes one away. */
  readonly becomes: Readonly<Record<string, string | null>>;
  readonly isAsked: boolean;
}

const PENDING = helm('pending-upgrade');
const DEPLOYED = helm('deployed');
const { owner: _owner, ...UNOWNED } = DEPLOYED;

const RELABELLINGS: Readonly<Record<string, Relabelling>> = {
  'a pending record loses its owner': { was: PENDING, becomes: { owner: null }, isAsked: true },
  'a pending record gets another owner': { was: PENDING, becomes: { owner: 'me' }, isAsked: true },
  'a pending record loses its release': { was: PENDING, becomes: { name: null }, isAsked: true },
  'a pending record gets another release': { was: PENDING, becomes: { name: 'web' }, isAsked: true },
  'a pending record gets another revision': { was: PENDING, becomes: { version: '7' }, isAsked: false },
  'a pending record gets one more label': { was: PENDING, becomes: { team: 'red' }, isAsked: false },
  'a pending record ends, and loses its owner': {
    was: PENDING,
    becomes: { owner: null, status: 'failed' },
    isAsked: true,
  },
  'a deployed record loses its owner': { was: DEPLOYED, becomes: { owner: null }, isAsked: false },
  'a deployed record gets another release': { was: DEPLOYED, becomes: { name: 'web' }, isAsked: false },
  'a deployed record gets one more label': { was: DEPLOYED, becomes: { team: 'red' }, isAsked: false },
  'what was no record gets its owner': { was: UNOWNED, becomes: { owner: 'helm' }, isAsked: true },
  'what was another one’s gets its owner': {
    was: { ...UNOWNED, owner: 'me' },
    becomes: { owner: 'helm' },
    isAsked: true,
  },
  'a pending one gets its owner': {
    was: { ...UNOWNED, status: 'pending-upgrade' },
    becomes: { owner: 'helm' },
    isAsked: true,
  },
};

t.test('of the labels of a record, it hears which hide a lock, and which make a record', async (t) => {
  const w = await askingCluster(t);
  for (const [index, [what, { was, becomes, isAsked }]] of Object.entries(RELABELLINGS).entries()) {
    for (const kind of ['Secret', 'ConfigMap'] as const) {
      const name = `${RECORD}r${index}.v1`;
      const labels = { ...was, name: `r${index}` };
      const type = kind === 'Secret' && { type: RECORD_TYPE };
      await w.admin.create(PATHS[kind], { metadata: { name, labels }, ...type });
      const asked = await w.asksAbout('PATCH', `${PATHS[kind]}/${name}`, { metadata: { labels: becomes } });
      t.equal(asked, isAsked, `${kind}: ${what}`);
    }
  }
});

t.test(
  'of other writes of a pending record, of other objects, and of some clients, it hears nothing',
  async (t) => {
    const w = await askingCluster(t);
    const path = `${PATHS.Secret}/${RECORD}api.v1`;
    await w.admin.create(
      PATHS.Secret,
      objectOf({ kind: 'Secret', type: RECORD_TYPE, labels: helm('pending-install'), prefix: RECORD }, 1),
    );
    const end = { metadata: { labels: { status: 'failed' } } };
    t.ok(await w.asksAbout('PATCH', path, end), 'its end');
    for (const change of [{ data: { release: '' } }, { metadata: { annotations: { team: 'red' } } }]) {
      t.notOk(await w.asksAbout('PATCH', path, change), JSON.stringify(change));
    }
    for (const user of [
      'system:serviceaccount:lockkeeper:lockkeeper',
      'system:serviceaccount:kube-system:namespace-controller',
      'system:serviceaccount:kube-system:generic-garbage-collector',
      'system:kube-controller-manager',
    ]) {
      const headers = { 'impersonate-user': user, 'impersonate-group': 'system:masters' };
      t.notOk(await w.asksAbout('PATCH', path, end, headers), user);
    }
    await w.admin.remove(path);
    for (const [sort, isAsked] of [
      [{ kind: 'Secret', type: RECORD_TYPE }, true],
      [{ kind: 'Secret', type: 'Opaque', prefix: RECORD }, true],
      [{ kind: 'Secret', type: 'Opaque' }, false],
      [{ kind: 'ConfigMap', prefix: RECORD }, true],
      [{ kind: 'ConfigMap' }, false],
    ] as const) {
      const object = objectOf({ ...sort, labels: helm('deployed') }, 2);
      await w.admin.create(PATHS[sort.kind], object);
      const own = `${PATHS[sort.kind]}/${object.metadata.name}`;
      const asked = await w.asksAbout('PATCH', own, { metadata: { labels: { status: 'uninstalling' } } });
      t.equal(asked, isAsked, `an uninstall of ${JSON.stringify(sort)}`);
      await w.admin.remove(own);
    }
  },
);

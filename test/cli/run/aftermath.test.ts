/** What is left of a Helm that has ended, beside what real Helms leave in run-helm.test.ts. */
import t, { type Test } from 'tap';
import { withCluster } from '../../../src/cli/cluster.ts';
import { tidyUp } from '../../../src/cli/run/aftermath.ts';
import { startEmbeddedCluster } from '../../clusters/embedded/cluster.ts';
import { helmRecord, pathOf } from '../../support/clearing.ts';

const RELEASE = { driver: 'secrets', namespace: 'prod', name: 'api' } as const;

const KILLED = { code: null, signal: 'SIGKILL' } as const;

/** Revision 2 was made by our Helm; `meddle` happens between the first look and the clear. */
async function leftBehind(
  t: Test,
  json?: string,
  meddle?: 'ends' | 'fails',
  ending: Parameters<typeof tidyUp>[0]['ending'] = KILLED,
) {
  const embedded = await startEmbeddedCluster();
  t.teardown(() => embedded.stop());
  const admin = await embedded.client();
  await admin.createNamespace('prod');
  const { metadata } = await admin.create(
    pathOf('secrets'),
    helmRecord(2, 'pending-upgrade', json === undefined ? {} : { json }),
  );
  const told: string[] = [];
  const place = { env: { KUBECONFIG: await embedded.kubeconfig() }, home: '/' };
  await withCluster({}, place, async (cluster) => {
    const all: typeof cluster.reader.all = async (release, signal) => {
      if (meddle === 'fails') throw new Error('the API server is gone');
      const found = await cluster.reader.all(release, signal);
      if (meddle === 'ends') await admin.replace(pathOf('secrets', 2), helmRecord(2, 'deployed'));
      return found;
    };
    const made = [{ uid: metadata.uid, release: RELEASE }];
    const seen = { ...cluster, reader: { ...cluster.reader, all } };
    await tidyUp({ cluster: seen, releases: [], made, ending, note: (line) => told.push(line) });
  });
  return told.join('\n');
}

t.test('Helm ended by itself, and left its revision pending (trap 15)', async (t) => {
  const words = await leftBehind(t, undefined, undefined, { code: 1, signal: null });
  t.match(
    words,
    'Helm ended with 1 and left revision 2 of release prod/api pending-upgrade: it is marked as failed. Next: ',
  );
});

t.test('it cannot be edited', async (t) => {
  t.match(
    await leftBehind(t, '{}'),
    'revision 2 of release prod/api cannot be marked as failed: it has no info. To end its lock: lockkeeper clear api -n prod --force',
  );
});

t.test('somebody else ended it first', async (t) => {
  t.equal(
    await leftBehind(t, undefined, 'ends'),
    'revision 2 of release prod/api was ended by somebody else meanwhile',
  );
});

t.test('the cluster is out of reach', async (t) => {
  t.match(
    await leftBehind(t, undefined, 'fails'),
    /^what Helm left of release prod\/api is not known: the API server is gone\. To end/,
  );
});

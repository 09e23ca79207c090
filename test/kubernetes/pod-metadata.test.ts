/** The metadata of pods: of the very pod that is asked for, and read once. */
import t from 'tap';
import { createPodMetadataReader } from '../../src/kubernetes/pod-metadata.ts';

const POD = { namespace: 'ci', name: 'runner-7f9c', uid: 'pod-1' };

function harness(found: { uid: string } | undefined) {
  const asked: unknown[] = [];
  const reader = createPodMetadataReader({
    get: async (resource, namespace, name) => {
      asked.push([resource, namespace, name]);
      return found;
    },
  });
  return { reader, asked };
}

t.test('a pod is read once', async (t) => {
  const metadata = { uid: 'pod-1', annotations: { a: 'b' } };
  const { reader, asked } = harness(metadata);
  t.equal(await reader.read(POD), metadata);
  t.equal(await reader.read(POD), metadata);
  t.strictSame(asked, [['pods', 'ci', 'runner-7f9c']]);
});

t.test('another pod of that name tells nothing of it', async (t) => {
  const { reader, asked } = harness({ uid: 'pod-2' });
  const error = { message: 'pod ci/runner-7f9c is not the one that sent the review' };
  await t.rejects(reader.read(POD), error);
  await t.rejects(reader.read(POD), error);
  t.equal(asked.length, 2, 'nothing is remembered');
  await t.rejects(harness(undefined).reader.read(POD), error, 'nor does one that is gone');
});

/** ReleaseLocks as the command line reads them. */
import t from 'tap';
import { readReleaseLocks, releaseLocksPath } from '../../src/cli/release-locks.ts';
import { KubernetesError } from '../../src/kubernetes/requests.ts';

const PATH = releaseLocksPath('prod');
const FORBIDDEN = new KubernetesError(`GET ${PATH}`, 403, 'no');

/** @param discovery what the API server answers about the group */
function reading(list: Error, discovery: () => Promise<unknown>) {
  const read = async <T>(path: string) => {
    if (path === PATH) throw list;
    return (await discovery()) as T;
  };
  return readReleaseLocks({ read }, PATH, new AbortController().signal);
}

t.test('those that may not be read are told from those that nobody serves', async (t) => {
  const status = (code: number) => () => Promise.reject(new KubernetesError('GET /apis', code, 'no'));
  t.equal(await reading(FORBIDDEN, status(404)), undefined, 'nobody serves them');
  await t.rejects(
    reading(FORBIDDEN, async () => ({})),
    FORBIDDEN,
    'somebody serves them',
  );
  await t.rejects(reading(FORBIDDEN, status(403)), FORBIDDEN, 'it may not even be asked');
  const outage = new KubernetesError(`GET ${PATH}`, 503, 'no');
  await t.rejects(reading(outage, status(404)), outage, 'anything else is an outage');
});

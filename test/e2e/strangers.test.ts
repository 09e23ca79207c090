/**
 * Strangers deploy and clear under names that would deceive a terminal. What `helm` and `kubectl` print of it afterwards is safe:
 * refusals, the history, ReleaseLocks and Events. On the embedded cluster, where anybody may be called anything.
 */
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { record } from '../support/records.ts';
import { restClient } from '../support/rest.ts';
import { unsafeIn } from '../support/unsafe-text.ts';
import { until } from '../support/until.ts';
import type { RunResult } from '../tools/run.ts';
import { world } from './world.ts';

const SECRETS = '/api/v1/namespaces/prod/secrets';
const ENTRIES = '/apis/lockkeeper.dev/v1alpha1/namespaces/prod/releaselocks';

/** Clears the screen, sets the title, turns the direction, hides; each of it can be in the name of a user. */
const EVIL = '\u001b[2J\u001b]0;owned\u0007\u009b1m\u202e\u2066\u200b';
const SHOWN = '\\u{1b}[2J\\u{1b}]0;owned\\u{7}\\u{9b}1m\\u{202e}\\u{2066}\\u{200b}';

/** As Helm stores it: compressed, and encoded twice, as a Secret is. */
function stored(revision: number, status: string) {
  const release = {
    name: 'api',
    namespace: 'prod',
    version: revision,
    info: { status, description: status },
  };
  const payload = gzipSync(JSON.stringify(release)).toString('base64');
  return record('api', revision, status, { payload });
}

/** What a person sees, without the ends of lines, and the tabs of Helm's tables. */
function seen({ stdout, stderr }: RunResult): string {
  return `${stdout}${stderr}`.replace(/[\n\t]/g, '');
}

t.test('what Helm and kubectl show of strangers is safe', async (t) => {
  const w = await world(t, '4.1.4', 'secret', { config: { holdSeconds: 0, maxWaitSeconds: 0 } });
  const { admin, cluster, helm, kubectl } = w;
  const mallory = await cluster.client({ username: `mallory${EVIL}` });
  await admin.create(SECRETS, stored(1, 'deployed'));
  await mallory.create(SECRETS, stored(2, 'pending-upgrade'));
  await until(
    () => admin.list(ENTRIES),
    (entries) => entries.length === 1,
  );

  const refused = await helm(['rollback', 'api', '1'], 'alice').done;
  t.equal(refused.code, 1);
  const locks = await kubectl(['get', 'releaselocks', '-o', 'wide']);
  const rest = await restClient(t, w, { username: `clearer${EVIL}` });
  const reason = encodeURIComponent('because\u202e');
  t.equal((await rest.remove(`/api?force=true&reason=${reason}`)).status, 400, 'a reason is plain text');
  t.match(await rest.remove('/api?force=true'), { status: 200 });
  const events = await until(
    () => kubectl(['get', 'events', '--sort-by=.metadata.creationTimestamp']),
    ({ stdout }) => stdout.includes('clearer'),
  );
  const history = await helm(['history', 'api']).done;

  for (const [what, who, result] of [
    ['the refusal', `mallory${SHOWN}`, refused],
    ['kubectl get releaselocks', `mallory${SHOWN}`, locks],
    ['kubectl get events', `clearer${SHOWN}`, events],
    ['helm history', `clearer${SHOWN}`, history],
  ] as const) {
    t.equal(unsafeIn(seen(result)), undefined, `${what}: nothing unsafe`);
    t.ok(seen(result).includes(who), `${what} shows ${who}: ${seen(result)}`);
  }
});

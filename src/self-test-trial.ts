/**
 * What `helm test` proves: that the gate refuses a second deploy beside one that is under way. It forges the records that
 * Helm would write: the first is stored, and taken away again; the second is asked for by a dry run, and never stored.
 */
import type { Clock } from './clock.ts';
import { ALLOW_DELETE } from './gate/marks.ts';
import { type Driver, RECORD_TYPE, recordName } from './helm/release.ts';
import { pathOf } from './kubernetes/client.ts';
import { KubernetesError, type Requests } from './kubernetes/requests.ts';

export interface TrialOptions {
  readonly requests: Pick<Requests, 'write'>;
  readonly namespace: string;
  /** A name that no real release has: its revision 1 is deleted. */
  readonly release: string;
  readonly driver: Driver;
  /** The name of the webhook configuration, for the words only. */
  readonly configuration: string;
  /** How long the gate may take to be armed. */
  readonly patienceMs: number;
  readonly clock: Pick<Clock, 'now' | 'after'>;
  readonly say: (line: string) => void;
}

type Seen =
  | { readonly answer: 'refused'; readonly words: string }
  | { readonly answer: 'let through' }
  /** By the gate or before it; `mayPass` is whether it may be otherwise in a moment. */
  | { readonly answer: 'failed'; readonly reason: string; readonly mayPass: boolean };

const REFUSAL = 'admission webhook "gate.lockkeeper.dev" denied the request';

const PAUSE_MS = 500;

/** Resolves with whether the gate refused it, after it has said what was tried and seen. */
export async function tryGate(options: TrialOptions): Promise<boolean> {
  const { namespace, release, patienceMs, clock, say } = options;
  const deadline = clock.now() + patienceMs;
  say(`Forging two deploys at once of the release ${release} in the namespace ${namespace}:`);
  for (;;) {
    const seen = await forge(options);
    const mayChange = seen.answer === 'let through' || (seen.answer === 'failed' && seen.mayPass);
    if (mayChange && clock.now() < deadline) {
      await new Promise<void>((resolve) => clock.after(PAUSE_MS, resolve));
      continue;
    }
    for (const line of inWords(seen, options)) say(line);
    return seen.answer === 'refused';
  }
}

/** Whatever comes of it, nothing is left. */
async function forge(options: TrialOptions): Promise<Seen> {
  try {
    await remove(options); // what a trial has left that was killed
    await store(options);
    try {
      return await askForAnother(options);
    } finally {
      await remove(options);
    }
  } catch (error) {
    const mayPass = !(error instanceof KubernetesError) || error.status >= 500;
    return { answer: 'failed', reason: (error as Error).message, mayPass };
  }
}

async function store(options: TrialOptions): Promise<void> {
  const { requests, namespace, driver } = options;
  await requests.write('POST', pathOf(driver, namespace), record(options, 1), untilTheEnd());
}

async function askForAnother(options: TrialOptions): Promise<Seen> {
  const { requests, namespace, driver } = options;
  const dryRun = `${pathOf(driver, namespace)}?dryRun=All`;
  try {
    await requests.write('POST', dryRun, record(options, 2), untilTheEnd());
    return { answer: 'let through' };
  } catch (error) {
    const { message } = error as Error;
    const start = message.indexOf(REFUSAL);
    if (start === -1) throw error;
    return { answer: 'refused', words: message.slice(start) };
  }
}

async function remove({ requests, namespace, release, driver }: TrialOptions): Promise<void> {
  const options = { apiVersion: 'v1', kind: 'DeleteOptions' };
  try {
    const path = `${pathOf(driver, namespace)}/${recordName(release, 1)}`;
    await requests.write('DELETE', path, options, untilTheEnd());
  } catch (error) {
    if (!(error instanceof KubernetesError && error.status === 404)) throw error;
  }
}

/** A request has time limits of its own. */
function untilTheEnd(): AbortSignal {
  return new AbortController().signal;
}

/** As Helm writes it, so that `helm list` can read it meanwhile; the guard lets it be deleted. */
function record({ release, namespace, driver }: TrialOptions, revision: number): object {
  const status = 'pending-install';
  const description = 'Forged by helm test of lockkeeper; it goes by itself';
  const content = { name: release, namespace, version: revision, info: { status, description } };
  const payload = base64(JSON.stringify(content));
  const isSecret = driver === 'secrets';
  return {
    apiVersion: 'v1',
    kind: isSecret ? 'Secret' : 'ConfigMap',
    metadata: {
      name: recordName(release, revision),
      namespace,
      labels: { owner: 'helm', name: release, status, version: String(revision) },
      annotations: { [ALLOW_DELETE]: 'true' },
    },
    ...(isSecret && { type: RECORD_TYPE }),
    data: { release: isSecret ? base64(payload) : payload },
  };
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

function inWords(seen: Seen, { namespace, release, driver, configuration }: TrialOptions): string[] {
  switch (seen.answer) {
    case 'refused':
      return [
        '- revision 1 was stored as pending-install, as if a deploy was under way;',
        `- revision 2 was asked for beside it, and refused: ${seen.words}`,
        'PASSED: the gate keeps a second deploy from running beside the first. Nothing of this is left.',
      ];
    case 'let through':
      return [
        '- revision 1 was stored as pending-install, as if a deploy was under way;',
        '- revision 2 was asked for beside it, and nobody refused it. Nothing of this is left.',
        'FAILED: two deploys of one release can run at once. One of these is the reason:',
        `- The gate is not there: kubectl get validatingwebhookconfiguration ${configuration}`,
        '  If somebody has deleted it, helm upgrade of lockkeeper puts it back.',
        '- It is not armed yet: its webhooks have no rules until a replica was ready for 15 seconds.',
        '  See the pods of lockkeeper, and their log.',
        `- The namespace ${namespace} is excluded: see webhook.excludedNamespaces and webhook.namespaceSelector,`,
        '  and test.namespace for another one to try.',
        '- Lockkeeper cannot be asked, and webhook.failurePolicy is Ignore: see the pods of lockkeeper.',
      ];
    case 'failed':
      return [
        `FAILED: this could not be tried: ${seen.reason}`,
        `If anything of it is left, this takes it away: kubectl delete ${driver} ${recordName(release, 1)} -n ${namespace}`,
      ];
  }
}

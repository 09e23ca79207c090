/**
 * What the design (§4.1, §4.4) says of a review and of what is stored, in its own words: written without a look at
 * src/gate, so that the two can disagree.
 */
import { isDeepStrictEqual } from 'node:util';
import type { StoredObject } from '../clusters/kubernetes-object.ts';
import type { Json } from '../support/rest.ts';

/** What was stored when a review was sent, and when it was answered. */
export interface Sight {
  readonly before: readonly StoredObject[];
  readonly after: readonly StoredObject[];
  /** Milliseconds since 1970, by the clock that stamps the records. */
  readonly now: number;
}

const STALE_AFTER_MS = 900_000;

const PENDING = ['pending-install', 'pending-upgrade', 'pending-rollback'];
const NAME = /^sh\.helm\.release\.v1\.(.+)\.v([1-9]\d*)$/s;
const KINDS: Readonly<Record<string, string>> = { secrets: 'Secret', configmaps: 'ConfigMap' };
const KUBERNETES = /^system:(serviceaccount:kube-system:(namespace-c|generic-garbage-c)|kube-c)ontroller/;
const OURSELVES = 'system:serviceaccount:lockkeeper:lockkeeper';

/** Which rule gives this allow; undefined if none does. */
export function ruleFor(review: Json, sight: Sight): string | undefined {
  const isReview = review?.apiVersion === 'admission.k8s.io/v1' && review.kind === 'AdmissionReview';
  if (!isReview) return undefined;
  const { group, resource } = review.request.resource;
  const isEntry = group === 'lockkeeper.dev' && resource === 'releaselocks';
  return isEntry ? ruleForEntry(review.request, sight) : ruleForRecord(review.request, sight);
}

function ruleForEntry(request: Json, sight: Sight): string | undefined {
  const { operation, oldObject, object } = request;
  if (isPrivileged(request)) return 'Kubernetes, or ourselves';
  if (operation === 'DELETE') return ruleForEntryDeletion(request, sight);
  const isSame = oldObject && isDeepStrictEqual(oldObject.spec, object?.spec);
  return isSame ? 'it says what it said' : undefined;
}

function ruleForRecord(request: Json, sight: Sight): string | undefined {
  const { operation, oldObject, object } = request;
  if (operation === 'DELETE') {
    const isOfHelm = isRecord(request, oldObject) && !isPrivileged(request);
    return isOfHelm ? ruleForDeletion(request, sight) : 'no Helm record, or ourselves';
  }
  const isDeploy = operation === 'CREATE' && PENDING.includes(object?.metadata?.labels?.status);
  return isDeploy && isRecord(request, object) ? ruleForDeploy(request, sight) : 'rule 1';
}

function isPrivileged({ userInfo }: Json): boolean {
  const user = String(userInfo?.username);
  return KUBERNETES.test(user) || user === OURSELVES;
}

function isRecord(request: Json, object: Json): boolean {
  const { group, resource } = request.resource;
  if (group !== '') return false;
  if (resource === 'secrets') return object?.type === 'helm.sh/release.v1';
  const isOwned = object?.metadata?.labels?.owner === 'helm';
  return resource === 'configmaps' && isOwned && NAME.test(nameOf(request, object));
}

/** An object whose name is yet to be generated may have it in one place only. */
function nameOf({ name }: Json, object: Json): string {
  return object?.metadata?.name || name;
}

function ruleForDeploy(request: Json, sight: Sight): string | undefined {
  const { resource, namespace, object, dryRun } = request;
  const { labels } = object.metadata;
  const [, release, number] = NAME.exec(nameOf(request, object)) ?? [];
  const agrees = labels.owner === 'helm' && labels.name === release && labels.version === number;
  if (!agrees || release === undefined) return undefined; // rule 2
  const kind = KINDS[resource.resource];
  const before = historyOf(sight.before, kind, namespace, release);
  const below = before.find((stored) => numberOf(stored) < Number(number));
  if (below === undefined || !isPending(below)) return 'rule 4';
  const isRemedy = labels.status === 'pending-rollback' && isStale(below, sight.now);
  return isRemedy && (dryRun || isCleared(below, sight.after)) ? 'rule 5' : undefined;
}

function ruleForDeletion(request: Json, sight: Sight): string | undefined {
  const { resource, namespace, oldObject } = request;
  const { labels, annotations, uid } = oldObject?.metadata ?? {};
  const name = nameOf(request, oldObject);
  if (annotations && annotations['lockkeeper.dev/allow-delete'] !== undefined) return 'marked';
  const [, release = ''] = NAME.exec(name) ?? [];
  const [newest] = historyOf(sight.before, KINDS[resource.resource], namespace, release);
  const isAboutIt = newest?.metadata.uid === uid && newest?.metadata.name === name;
  if (!newest || !isAboutIt || !isPending(newest) || !PENDING.includes(labels?.status)) return 'no lock';
  return isStale(newest, sight.now) ? 'stale' : undefined;
}

function ruleForEntryDeletion(
  { namespace, name, oldObject, dryRun }: Json,
  sight: Sight,
): string | undefined {
  const { driver, recordUID } = Object(oldObject?.spec);
  const [newest] = historyOf(sight.before, KINDS[driver], namespace, oldObject?.metadata?.name || name);
  if (!newest || !isPending(newest) || newest.metadata.uid !== recordUID) return 'no lock';
  // A mark counts only if the stored object bears it, and none is stored here.
  if (!isStale(newest, sight.now)) return undefined;
  return dryRun || isCleared(newest, sight.after) ? 'stale' : undefined;
}

/** What REST may clear: what is stale, and by force what is not. */
export function mayClear(query: string, sight: Sight): boolean {
  const cleared = sight.before.filter((stored) => isPending(stored) && isCleared(stored, sight.after));
  const isForced = /(^|&)force=true(&|$)/.test(query);
  return cleared.every((stored) => isForced || isStale(stored, sight.now));
}

/** Newest first. */
function historyOf(
  all: readonly StoredObject[],
  kind: string | undefined,
  namespace: string,
  release: string,
): readonly StoredObject[] {
  return all
    .filter((stored) => stored.kind === kind && stored.metadata.namespace === namespace)
    .filter(({ metadata }) => NAME.exec(metadata.name)?.[1] === release)
    .toSorted((one, other) => numberOf(other) - numberOf(one));
}

function numberOf({ metadata }: StoredObject): number {
  return Number(NAME.exec(metadata.name)?.[2]);
}

function isPending({ metadata }: StoredObject): boolean {
  return PENDING.includes(metadata.labels?.status ?? '');
}

function isStale({ metadata }: StoredObject, now: number): boolean {
  return now - Date.parse(String(metadata.creationTimestamp)) >= STALE_AFTER_MS;
}

function isCleared({ metadata: { uid } }: StoredObject, after: readonly StoredObject[]): boolean {
  return !after.some((stored) => stored.metadata.uid === uid && isPending(stored));
}

/** What must hold when somebody is refused, or not answered: there was a reason, and it was no holder's last write. */
import { isPending, parseRecordName } from '../../src/helm/release.ts';
import { type History, keyOf, type StoredRecord, statesDuring } from './history.ts';
import { isSameClient, isSameJobPod } from './holders.ts';
import { isSurelyDead, mayBeFault, mayBeUnknown } from './judgement.ts';
import type { Entry } from './log.ts';
import { statusIn } from './payload.ts';
import type { Violation } from './violation.ts';

const REFUSED = /admission webhook "(gate|guard|updates)\.lockkeeper\.dev" denied the request/;
const FENCED = /ValidatingAdmissionPolicy 'lockkeeper-fence'/;
const UNREACHABLE = /failed calling webhook "(gate|releaselocks)\.lockkeeper\.dev"/;

export function refusedForAReason(history: History): Violation[] {
  return history.entries.flatMap((entry) => {
    const why = whyRefusedInVain(history, entry);
    return why === undefined ? [] : [refusal('refused without a reason', entry, why)];
  });
}

/** What a client that holds a lock writes to end it, is never refused. */
export function holdersMayEnd(history: History): Violation[] {
  return history.entries.flatMap((entry) => {
    const webhook = REFUSED.exec(entry.message)?.[1];
    const isEnd =
      webhook === 'updates' && statusAsked(entry) !== 'uninstalling' && entry.code !== FALSE_LABEL;
    const records = isEnd ? ofName(history, entry) : [];
    // Its record may have been lost, and that of another client have its name.
    const isOwn = records.length > 0 && records.every((record) => isOf(history, record, entry));
    return isOwn ? [refusal('a holder may end its lock', entry, `${entry.user} was refused`)] : [];
  });
}

/** No write passes Lockkeeper by because it could not be asked, but for faults. */
export function alwaysAsked(history: History): Violation[] {
  return history.entries.flatMap((entry) => {
    const { failedOpen } = entry;
    if (failedOpen.length === 0 || mayBeFault(history, entry)) return [];
    return [refusal('a webhook was passed over', entry, `${failedOpen.join(', ')} could not be asked`)];
  });
}

function refusal(rule: string, { name, askedAt }: Entry, words: string): Violation {
  return { rule, record: name, words, at: askedAt };
}

/** As an API server answers what contradicts itself. */
const FALSE_LABEL = 400;

/** Undefined if it was not refused, or there was a reason at that time. */
function whyRefusedInVain(history: History, entry: Entry): string | undefined {
  const { message } = entry;
  if (FENCED.test(message)) return mayHaveEnded(history, entry) ? undefined : 'the fence had no reason';
  if (UNREACHABLE.test(message)) return mayBeFault(history, entry) ? undefined : message;
  switch (REFUSED.exec(message)?.[1]) {
    case 'gate':
      return mayBeLocked(history, entry) ? undefined : 'the gate had no reason';
    case 'guard':
      return mayBeGuarded(history, entry) ? undefined : 'the guard had no reason';
    case 'updates':
      return mayBeKept(history, entry) ? undefined : 'the update had no reason to be refused';
    default:
      return undefined;
  }
}

function mayHaveEnded(history: History, entry: Entry): boolean {
  return ofName(history, entry).some((record) =>
    statesDuring(record, entry).some(({ status }) => !isPending(status)),
  );
}

function ofName({ maybeRecords }: History, { resource, name }: Entry): StoredRecord[] {
  return maybeRecords.filter((record) => record.driver === resource && record.name === name);
}

/** Whether a deploy or an uninstall may have been at work below the new revision, or one from its number on be stored. */
function mayBeLocked({ maybeRecords }: History, entry: Entry): boolean {
  const { name = '', version } = entry.asked?.metadata?.labels ?? {};
  const revision = Number(version);
  const others = maybeRecords.filter((record) => keyOf(record) === `${entry.resource}/${name}`);
  return others.some((other) => {
    const states = statesDuring(other, entry);
    // The gate reads a record by its name, whoever has taken it from Helm's sight by another label.
    const locks = states.some(({ status, labels }) => isLocking(status) || isLocking(labels.status ?? ''));
    return other.revision >= revision ? states.length > 0 : locks;
  });
}

function isLocking(status: string): boolean {
  return isPending(status) || status === 'uninstalling';
}

function mayBeGuarded(history: History, entry: Entry): boolean {
  return ofName(history, entry).some((record) => {
    const isHolder = isOf(history, record, entry) && !mayBeUnknown(history, record, entry);
    return !isHolder && mayBeLive(history, record, entry);
  });
}

/** Whether an update may have been in the way of a live lock, or have lied. */
function mayBeKept(history: History, entry: Entry): boolean {
  if (entry.code === FALSE_LABEL) return mayBeFalse(history, entry);
  if (statusAsked(entry) === 'uninstalling') return mayHaveToWait(history, entry);
  return ofName(history, entry).some((record) => mayBeLive(history, record, entry));
}

function mayBeFalse(history: History, { resource, asked, ...entry }: Entry): boolean {
  const { data } = asked ?? {};
  if (data?.release !== undefined) return isPending(statusIn(resource as 'secrets', data));
  // A patch of the labels leaves the payload as it was.
  return ofName(history, { resource, asked, ...entry }).some((record) =>
    statesDuring(record, entry).some((state) => isPending(statusIn(record.driver, state.data))),
  );
}

/** Whether an uninstall may have come while a deploy was live, or after one that it did not know of. */
function mayHaveToWait(history: History, entry: Entry): boolean {
  const { release, revision = 0 } = parseRecordName(entry.name) ?? {};
  const all = history.maybeRecords.filter((record) => keyOf(record) === `${entry.resource}/${release}`);
  return all.some((record) => {
    const isNewer = record.revision > revision && statesDuring(record, entry).length > 0;
    const isOwn = isSameJobPod(history.pods, record.creation, entry) && !mayBeUnknown(history, record, entry);
    return isNewer || (!isOwn && mayBeLive(history, record, entry));
  });
}

function mayBeLive(history: History, record: StoredRecord, entry: Entry): boolean {
  const mayBePending = statesDuring(record, entry).some(({ status }) => isPending(status));
  return mayBePending && !isSurelyDead(history, record, entry);
}

function isOf({ pods }: History, { creation }: StoredRecord, entry: Entry): boolean {
  return isSameClient(pods, creation, entry);
}

function statusAsked({ asked }: Entry): string {
  return asked?.metadata?.labels?.status ?? '';
}

/** The writes of a live record that nobody may make but its holder, and what the API server answers to each. */
import { type Change, WAYS, type Way } from './record-writes.ts';

export interface RefusedWrite {
  readonly change: Change;
  readonly ways: readonly Way[];
  readonly code: number;
  /** After the words that say who holds the lock; or all of it. */
  readonly words: string;
}

const FALSE_LABEL = (claim: string) =>
  `The label status of \\S+ ${claim}, but the release in it is pending-upgrade\\. Nothing was changed: it stays pending-upgrade\\. ` +
  'Helm reads the release and not the label, so the release would stay locked\\. To clear the lock: kubectl delete .*$';

const ONLY_ITS_HOLDER = (what: string) => `While it is live, only its holder may ${what}\\.`;

export const REFUSED_WRITES: Readonly<Record<string, RefusedWrite>> = {
  'failed, in the label and in the payload': {
    change: { label: 'failed', payload: 'failed' },
    ways: WAYS,
    code: 409,
    words: ONLY_ITS_HOLDER('make it failed'),
  },
  'superseded, as helm-mapkubeapis does': {
    change: { label: 'superseded', payload: 'superseded' },
    ways: ['PUT'],
    code: 409,
    words: ONLY_ITS_HOLDER('make it superseded'),
  },
  uninstalled: {
    change: { label: 'uninstalled', payload: 'uninstalled' },
    ways: ['PUT'],
    code: 409,
    words: ONLY_ITS_HOLDER('make it uninstalled'),
  },
  unknown: {
    change: { label: 'unknown', payload: 'unknown' },
    ways: ['PUT'],
    code: 409,
    words: ONLY_ITS_HOLDER('make it unknown'),
  },
  'deployed in the label, failed in the payload': {
    change: { label: 'deployed', payload: 'failed' },
    ways: ['PUT'],
    code: 409,
    words: ONLY_ITS_HOLDER('make it deployed'),
  },
  'failed in the label, deployed in the payload': {
    change: { label: 'failed', payload: 'deployed' },
    ways: ['merge patch'],
    code: 409,
    words: ONLY_ITS_HOLDER('make it failed'),
  },
  'without a status, and failed in the payload': {
    change: { label: '', payload: 'failed' },
    ways: ['PUT', 'merge patch'],
    code: 409,
    words: ONLY_ITS_HOLDER('take its status away'),
  },
  'without an owner': {
    change: { labels: { owner: null } },
    ways: ['PUT', 'merge patch', 'JSON patch'],
    code: 409,
    words: ONLY_ITS_HOLDER('hide it from Helm'),
  },
  'of another owner, and failed': {
    change: { label: 'failed', payload: 'failed', labels: { owner: 'somebody' } },
    ways: ['PUT', 'merge patch'],
    code: 409,
    words: ONLY_ITS_HOLDER('make it failed'),
  },
  'of another release, by its label': {
    change: { labels: { name: 'another' } },
    ways: ['PUT', 'merge patch', 'server-side apply'],
    code: 409,
    words: ONLY_ITS_HOLDER('hide it from Helm'),
  },
  'of no release': {
    change: { labels: { name: null } },
    ways: ['merge patch'],
    code: 409,
    words: ONLY_ITS_HOLDER('hide it from Helm'),
  },
  'failed in the label alone': {
    change: { label: 'failed' },
    ways: WAYS,
    code: 400,
    words: FALSE_LABEL('would say failed'),
  },
  'deployed in the label alone': {
    change: { label: 'deployed' },
    ways: ['PUT', 'merge patch'],
    code: 400,
    words: FALSE_LABEL('would say deployed'),
  },
  'without a label for the status': {
    change: { label: '' },
    ways: ['PUT', 'merge patch', 'JSON patch'],
    code: 400,
    words: FALSE_LABEL('would not be there'),
  },
  'without any label': {
    change: { label: '', labels: { owner: null, name: null, version: null } },
    ways: ['PUT', 'merge patch'],
    code: 400,
    words: FALSE_LABEL('would not be there'),
  },
};

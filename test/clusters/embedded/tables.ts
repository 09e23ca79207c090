/** The tables that `kubectl get` prints: the server chooses the columns. */
import { isJsonObject, type JsonObject, type StoredObject } from '../kubernetes-object.ts';
import type { ListMetadata } from './representation.ts';
import { keyOf, type Resource } from './resources.ts';

interface Column {
  readonly name: string;
  readonly cell: (object: StoredObject, now: number) => string | number | null;
}

const NAME: Column = { name: 'Name', cell: (object) => object.metadata.name };
const AGE: Column = {
  name: 'Age',
  cell: (object, now) => humanDuration(now - Date.parse(object.metadata.creationTimestamp)),
};

const COLUMNS: Readonly<Record<string, readonly Column[]>> = {
  '/secrets': [text('Type', 'type'), count('Data', 'data')],
  '/configmaps': [count('Data', 'data')],
  '/namespaces': [text('Status', 'status', 'phase')],
  '/pods': [
    { name: 'Ready', cell: podReady },
    text('Status', 'status', 'phase'),
    { name: 'Restarts', cell: () => '0' },
  ],
  '/events': [
    { name: 'Last Seen', cell: lastSeen },
    text('Type', 'type'),
    text('Reason', 'reason'),
    {
      name: 'Object',
      cell: (object) =>
        `${at(object, 'involvedObject', 'kind')}/${at(object, 'involvedObject', 'name')}`.toLowerCase(),
    },
    text('Message', 'message'),
  ],
  'batch/jobs': [
    { name: 'Status', cell: jobStatus },
    {
      name: 'Completions',
      cell: (job) => `${at(job, 'status', 'succeeded') ?? 0}/${at(job, 'spec', 'completions') ?? 1}`,
    },
    { name: 'Duration', cell: jobDuration },
  ],
};

/** `now`, in milliseconds since 1970, is what the ages are counted to. */
export function tableOf(
  resource: Resource,
  objects: readonly StoredObject[],
  metadata: ListMetadata,
  includeObject: string | null,
  now: number,
): object {
  const columns = columnsOf(resource);
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata,
    columnDefinitions: columns.map(({ name }) => ({
      name,
      type: 'string',
      format: name === 'Name' ? 'name' : '',
      description: '',
      priority: 0,
    })),
    rows: objects.map((object) => ({
      cells: columns.map(({ cell }) => cell(object, now)),
      object: included(object, includeObject),
    })),
  };
}

function columnsOf(resource: Resource): readonly Column[] {
  if (resource.columns) return [NAME, ...resource.columns.map(custom)];
  const middle = COLUMNS[keyOf(resource)] ?? [];
  // An event is told by what happened, and its name by nobody.
  return keyOf(resource) === '/events' ? middle : [NAME, ...middle, AGE];
}

function included(object: StoredObject, includeObject: string | null): object | null {
  if (includeObject === 'None') return null;
  if (includeObject === 'Object') return object;
  return { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: object.metadata };
}

function text(name: string, ...path: string[]): Column {
  return { name, cell: (object) => String(at(object, ...path) ?? '') };
}

/** A value that is missing is null to a custom resource, which kubectl prints as `<none>`. */
function custom({ name, path, type = 'string' }: NonNullable<Resource['columns']>[number]): Column {
  return {
    name,
    cell(object, now) {
      const value = at(object, ...path.split('.')) ?? null;
      if (value === null || type === 'integer') return value as number | null;
      return type === 'date' ? humanDuration(now - Date.parse(String(value))) : String(value);
    },
  };
}

function count(name: string, field: string): Column {
  return { name, cell: (object) => Object.keys({ ...(object[field] as JsonObject | undefined) }).length };
}

function at(object: StoredObject, ...path: string[]): unknown {
  return path.reduce<unknown>((value, key) => (isJsonObject(value) ? value[key] : undefined), object);
}

function podReady(pod: StoredObject): string {
  const [containers, statuses] = [at(pod, 'spec', 'containers'), at(pod, 'status', 'containerStatuses')];
  const isReady = (status: unknown) => isJsonObject(status) && status.ready === true;
  return `${listOf(statuses).filter(isReady).length}/${listOf(containers).length}`;
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function lastSeen(event: StoredObject, now: number): string {
  const time = event.lastTimestamp ?? event.eventTime ?? event.firstTimestamp;
  return typeof time === 'string' ? humanDuration(now - Date.parse(time)) : '<unknown>';
}

function jobDuration(job: StoredObject, now: number): string {
  const [start, end] = [at(job, 'status', 'startTime'), at(job, 'status', 'completionTime')];
  if (typeof start !== 'string') return '';
  return humanDuration((typeof end === 'string' ? Date.parse(end) : now) - Date.parse(start));
}

function jobStatus(job: StoredObject): string {
  const conditions = at(job, 'status', 'conditions') as { type: string; status: string }[] | undefined;
  const ended = conditions?.find(({ type, status }) => /^(Complete|Failed)$/.test(type) && status === 'True');
  return ended?.type ?? 'Running';
}

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** `90s`, `5m`, `3h`, `2d`: the largest unit of which there are at least two. */
export function humanDuration(milliseconds: number): string {
  if (milliseconds < 2 * MINUTE) return `${Math.floor(milliseconds / SECOND)}s`;
  if (milliseconds < 2 * HOUR) return `${Math.floor(milliseconds / MINUTE)}m`;
  if (milliseconds < 2 * DAY) return `${Math.floor(milliseconds / HOUR)}h`;
  return `${Math.floor(milliseconds / DAY)}d`;
}

/** Label and field selectors, as strings in a query and as objects in a webhook configuration. */
import type { KubernetesObject } from '../kubernetes-object.ts';
import { isJsonObject } from '../kubernetes-object.ts';
import type { Resource } from './resources.ts';
import { badRequest } from './status.ts';

export type Labels = Readonly<Record<string, string>>;
export type Predicate<T> = (value: T) => boolean;

/** `metav1.LabelSelector`; absent or empty matches everything. */
export interface LabelSelector {
  readonly matchLabels?: Labels;
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: string;
    readonly values?: readonly string[];
  }[];
}

/** How the real parser splits: at commas outside of parentheses. */
const COMMAS_OUTSIDE_PARENTHESES = /,(?![^(]*\))/;
const SET = /^(?<key>\S+)\s+(?<operator>in|notin)\s*\((?<values>[^)]*)\)$/;
const EQUALITY = /^(?<key>[^\s!=]+)\s*(?<operator>==|=|!=)\s*(?<value>[^\s!=]*)$/;
const EXISTENCE = /^(?<absent>!?)\s*(?<key>[^\s!=()]+)$/;

/** @throws ApiError 400 when the selector cannot be parsed */
export function parseLabelSelector(text: string): Predicate<Labels> {
  return every(split(text, COMMAS_OUTSIDE_PARENTHESES).map(parseRequirement));
}

function parseRequirement(text: string): Predicate<Labels> {
  const set = SET.exec(text)?.groups;
  if (set) return membership(set.key as string, set.operator as string, split(set.values as string, ','));
  const equality = EQUALITY.exec(text)?.groups;
  if (equality) {
    const operator = equality.operator === '!=' ? 'notin' : 'in';
    return membership(equality.key as string, operator, [equality.value as string]);
  }
  const existence = EXISTENCE.exec(text)?.groups;
  if (existence) return presence(existence.key as string, existence.absent === '');
  const found = text.split(/\s+/).at(1) ?? '';
  throw badRequest(`unable to parse requirement: found '${found}', expected: in, notin, =, ==, !=, gt, lt`);
}

/** `notin` also matches objects that lack the label. */
function membership(key: string, operator: string, values: readonly string[]): Predicate<Labels> {
  if (operator === 'in') return (labels) => values.includes(labels[key] ?? MISSING);
  return (labels) => !values.includes(labels[key] ?? MISSING);
}

/** No label value may contain a space, so it equals none. */
const MISSING = ' ';

function presence(key: string, wanted: boolean): Predicate<Labels> {
  return (labels) => Object.hasOwn(labels, key) === wanted;
}

export function compileLabelSelector({ matchLabels, matchExpressions }: LabelSelector): Predicate<Labels> {
  return every([
    ...Object.entries({ ...matchLabels }).map(([key, value]) => membership(key, 'in', [value])),
    ...[...(matchExpressions ?? [])].map(({ key, operator, values }) =>
      operator === 'Exists' || operator === 'DoesNotExist'
        ? presence(key, operator === 'Exists')
        : membership(key, operator.toLowerCase(), [...(values ?? [])]),
    ),
  ]);
}

const FIELD = /^(?<path>[^!=]+)(?<operator>==|=|!=)(?<value>.*)$/;

/** @throws ApiError 400 when the selector cannot be parsed, or names a field that this resource does not offer */
export function parseFieldSelector(text: string, resource: Resource): Predicate<KubernetesObject> {
  return every(
    split(text, ',').map((part) => {
      const field = FIELD.exec(part)?.groups;
      if (!field) throw badRequest(`invalid selector: '${part}'; can't understand '${part}'`);
      const path = field.path as string;
      if (!isSelectable(path, resource)) throw badRequest(`field label not supported: ${path}`);
      const wanted = field.operator !== '!=';
      return (object) => (valueAt(object, path) === field.value) === wanted;
    }),
  );
}

function isSelectable(path: string, resource: Resource): boolean {
  return (
    path === 'metadata.name' || path === 'metadata.namespace' || resource.selectableFields.includes(path)
  );
}

function valueAt(object: unknown, path: string): string {
  let value = object;
  for (const key of path.split('.')) value = isJsonObject(value) ? value[key] : undefined;
  return String(value ?? '');
}

function split(text: string, separator: string | RegExp): string[] {
  return text
    .split(separator)
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

function every<T>(predicates: readonly Predicate<T>[]): Predicate<T> {
  return (value) => predicates.every((predicate) => predicate(value));
}

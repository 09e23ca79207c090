/** Label selectors as kubectl takes them: `a=b,c!=d,e in (f,g),h notin (i),j,!k`. */

/** One condition on one label. */
export interface Requirement {
  readonly key: string;
  readonly operator: 'exists' | 'absent' | 'in' | 'notin';
  readonly values: readonly string[];
}

export type LabelSelector = readonly Requirement[];

const KEY = '([a-z0-9A-Z][-a-z0-9A-Z_.]*/)?[a-z0-9A-Z][-a-z0-9A-Z_.]*';
const VALUE = '[-a-z0-9A-Z_.]*';

const SET = new RegExp(`^(?<key>${KEY})\\s+(?<operator>in|notin)\\s*\\((?<values>[^()]*)\\)$`);
const EQUALITY = new RegExp(`^(?<key>${KEY})\\s*(?<operator>=|==|!=)\\s*(?<values>${VALUE})$`);
const EXISTENCE = new RegExp(`^(?<operator>!?)\\s*(?<key>${KEY})$`);

/** @throws Error in words if it is no selector. An empty text selects nothing here. */
export function parseSelector(text: string): LabelSelector {
  return splitOutside(text).map(parseRequirement);
}

/** Whether all requirements are met. A selector without any selects nothing. */
export function matchesSelector(selector: LabelSelector, labels: Readonly<Record<string, string>>): boolean {
  return selector.length > 0 && selector.every((requirement) => isMet(requirement, labels));
}

function isMet({ key, operator, values }: Requirement, labels: Readonly<Record<string, string>>): boolean {
  const value = labels[key];
  switch (operator) {
    case 'exists':
      return value !== undefined;
    case 'absent':
      return value === undefined;
    case 'in':
      return value !== undefined && values.includes(value);
    case 'notin':
      return value === undefined || !values.includes(value);
  }
}

const OPERATORS: Readonly<Record<string, Requirement['operator']>> = {
  '': 'exists',
  '!': 'absent',
  '=': 'in',
  '==': 'in',
  in: 'in',
  '!=': 'notin',
  notin: 'notin',
};

function parseRequirement(text: string): Requirement {
  const match = SET.exec(text) ?? EQUALITY.exec(text) ?? EXISTENCE.exec(text);
  if (match === null) throw new Error(`${JSON.stringify(text)} is no requirement of a label selector`);
  const { key, operator, values } = match.groups as { key: string; operator: string; values?: string };
  const given = values === undefined ? [] : values.split(',').map((value) => value.trim());
  return { key, operator: OPERATORS[operator] as Requirement['operator'], values: given };
}

/** At the commas that are not between parentheses. */
function splitOutside(text: string): string[] {
  if (text.trim() === '') return [];
  return text.split(/,(?![^(]*\))/).map((part) => part.trim());
}

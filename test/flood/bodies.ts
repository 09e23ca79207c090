/** Bodies that are reviews but for one member, which has millions of parts. */
import { deployReview } from '../fixtures/reviews.ts';

/** Just within the limit of a body, with a review around it. */
const BYTES = 6_900_000;

/** Values as JSON, each as long as may be. */
export const PARTS: Readonly<Record<string, () => string>> = {
  'an array of numbers': () => `[${filled('0,')}0]`,
  'an array of objects': () => `[${filled('{},')}{}]`,
  'an array of arrays': () => `[${filled('[],')}[]]`,
  'an array of strings': () => `[${filled('"",')}""]`,
  'an array of all types': () => `[${filled('{"a":[null]},true,"",1,')}null]`,
  'an object of many keys': manyKeys,
  'an object of one key, again and again': () => `{${filled('"a":0,')}"a":0}`,
  'arrays within arrays': () => nested('[', '', ']'),
  'objects within objects': () => nested('{"a":', '0', '}'),
  'a long key': () => `{"${filled('x')}":0}`,
  'a long number': () => filled('1'),
  'a long string of escapes': () => `"${filled('\\u0000')}"`,
};

function filled(part: string, bytes = BYTES): string {
  return part.repeat(Math.floor(bytes / part.length));
}

function nested(open: string, inmost: string, close: string): string {
  const depth = Math.floor(BYTES / (open.length + close.length));
  return `${open.repeat(depth)}${inmost}${close.repeat(depth)}`;
}

function manyKeys(): string {
  const keys: string[] = [];
  for (let length = 0; length < BYTES; length += keys.at(-1)?.length ?? 0)
    keys.push(`"${keys.length.toString(36)}":0,`);
  return `{${keys.join('')}"":0}`;
}

const HOLE = 'the member that has the parts';

type Path = readonly (string | number)[];

/** Every member that a review has, whatever its value is. */
function membersOf(value: unknown, path: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, member]) => {
    const here = [...path, key];
    return [here, ...membersOf(member, here)];
  });
}

/** With all that Kubernetes may add to one. */
function fullReview(): object {
  const review = deployReview({ release: 'forged', revision: 1, pod: { name: 'forged', uid: 'forged' } });
  Object.assign(review.request.userInfo, { uid: 'forged', groups: ['forged'] });
  Object.assign(review.request.object?.metadata ?? {}, {
    annotations: { forged: '' },
    finalizers: ['forged'],
    managedFields: [{ manager: 'forged', fieldsV1: { 'f:data': {} } }],
    ownerReferences: [{ kind: 'forged', name: 'forged' }],
  });
  return review;
}

function reviewWithHole(path: Path): { readonly before: string; readonly after: string } {
  const review = fullReview();
  const parent = path.slice(0, -1).reduce<object>((value, key) => Object(value)[key], review);
  Object.assign(parent, { [String(path.at(-1))]: HOLE });
  const [before = '', after = ''] = JSON.stringify(review).split(`"${HOLE}"`);
  return { before, after };
}

const MEMBERS = membersOf(fullReview()).map(reviewWithHole);

/** Each kind of parts in each member, and then from the beginning. */
export function* bodiesOfParts(): Generator<string, never> {
  for (;;) {
    for (const parts of Object.values(PARTS)) {
      const text = parts();
      for (const { before, after } of MEMBERS) yield `${before}${text}${after}`;
    }
  }
}

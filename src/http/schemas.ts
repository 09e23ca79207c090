/**
 * What the REST endpoints take and answer: these schemas check the requests and are the OpenAPI document, so
 * the two cannot disagree.
 */
import Type, { type Static } from 'typebox';
import { MAX_REASON_LENGTH, STRATEGIES } from '../gate/clearing.ts';
import { VERDICTS } from '../gate/lock.ts';

/** `MUST_BE` finishes the sentence “X is …, but must be” for a person who sent something else. */
export const MUST_BE = 'x-must-be';

function text(pattern: string, maxLength: number, mustBe: string, description: string) {
  return Type.String({ pattern: `^(${pattern})$`, maxLength, description, [MUST_BE]: mustBe });
}

function wholeNumber(minimum: number, maximum: number, description: string, options: object = {}) {
  const mustBe = `a whole number from ${minimum} to ${maximum}`;
  return Type.Integer({ minimum, maximum, description, [MUST_BE]: mustBe, ...options });
}

/** DNS-1123: a label, and labels joined by dots. */
const LABEL = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';

const Namespace = text(
  LABEL,
  63,
  'the name of a namespace: at most 63 small letters, digits and dashes',
  'The namespace of the release.',
);

/** Helm takes 53 characters, so that there is room for suffixes in 63. */
const ReleaseName = text(
  `${LABEL}(\\.${LABEL})*`,
  53,
  'the name of a release: at most 53 small letters, digits, dashes and dots',
  'The name of the release, as `helm list` shows it.',
);

/** A schema that is shared by its `$id`, as Fastify refers to it. */
export function Ref(id: 'Lock' | 'Problem') {
  return Type.Unsafe<object>({ $ref: `${id}#` });
}

const closed = { additionalProperties: false } as const;

export const NamespaceParams = Type.Object({ namespace: Namespace }, closed);
export const ReleaseParams = Type.Object({ namespace: Namespace, release: ReleaseName }, closed);
export const NoQuery = Type.Object({}, closed);

/** A pipeline's job lives for a day at most; nobody means to wait longer. */
const DAY_SECONDS = 86_400;

export const WaitQuery = Type.Object(
  {
    timeout: Type.Optional(
      wholeNumber(0, DAY_SECONDS, 'How long to wait, in seconds; 0 looks once.', { default: 600 }),
    ),
  },
  closed,
);

export const ClearQuery = Type.Object(
  {
    strategy: Type.Optional(
      Type.Enum([...STRATEGIES], {
        type: 'string',
        default: 'mark-failed',
        description:
          '`mark-failed` gives the revision the status `failed` and keeps it in `helm history`; `delete` removes it.',
        [MUST_BE]: STRATEGIES.join(' or '),
      }),
    ),
    revision: Type.Optional(
      wholeNumber(
        1,
        Number.MAX_SAFE_INTEGER,
        'Clear this revision only: 409 if another one holds the lock by now.',
      ),
    ),
    uid: Type.Optional(
      text('[A-Za-z0-9-]+', 64, 'the uid of an object', 'Clear the record with this uid only, for the wary.'),
    ),
    force: Type.Optional(
      Type.Boolean({
        default: false,
        description:
          'Clear the lock even if it is live. Needs the right to delete `releaselocks/force`, which a namespace admin usually has, whatever the lock is.',
        [MUST_BE]: 'true or false',
      }),
    ),
    reason: Type.Optional(
      text(
        // No control characters, and none that turn the direction of what follows.
        '[^\\p{Cc}\\p{Cs}\\u2028-\\u202e\\u2066-\\u2069]*',
        MAX_REASON_LENGTH,
        `a line of at most ${MAX_REASON_LENGTH} characters`,
        'Why, for `helm history`, the Event and the log.',
      ),
    ),
  },
  closed,
);

const Time = (description: string) => Type.String({ format: 'date-time', description });

const Pod = Type.Object({ namespace: Type.String(), name: Type.String(), uid: Type.String() });

const Holder = Type.Object({
  user: Type.String({ description: 'As the API server names it.' }),
  pod: Type.Union([Pod, Type.Null()], { description: 'The pod that the user’s token is bound to.' }),
});

export const LockSchema = Type.Object(
  {
    namespace: Type.String(),
    release: Type.String(),
    revision: Type.Integer({ description: 'The revision that holds the lock: the newest one, and pending.' }),
    status: Type.String({ description: '`pending-install`, `pending-upgrade` or `pending-rollback`.' }),
    since: Time('When the revision was stored.'),
    lastActivity: Time('When its record was last written.'),
    holder: Type.Union([Holder, Type.Null()], {
      description: 'Who created the revision; null if this replica did not see it.',
    }),
    verdict: Type.Enum([...VERDICTS], {
      type: 'string',
      description:
        'Whether the holder may still be at work. `expired`: it has not written for too long. `dead-holder` is reserved for a proof of its death.',
    }),
    reason: Type.String({ description: 'What the verdict rests on, for a person.' }),
    waiting: Type.Integer({ description: 'How many wait for this lock at this replica.' }),
  },
  { $id: 'Lock', title: 'Lock' },
);

export type LockJson = Static<typeof LockSchema>;

/** One line of a wait: where it stands, and at last how it ended. */
export const WaitLineSchema = Type.Union([
  Type.Object({ lock: Type.Optional(Ref('Lock')) }, { description: 'Still waiting.' }),
  Type.Object({ status: Type.Literal(204) }, { description: 'The release is free.' }),
  Ref('Problem'),
]);

export const LocksSchema = Type.Object({ items: Type.Array(Ref('Lock')) });

export const ClearedSchema = Type.Object({
  cleared: Ref('Lock'),
  strategy: Type.Enum([...STRATEGIES], { type: 'string' }),
  next: Type.Array(Type.String(), {
    description: 'The commands that work now, the best first. CHART stands for yours.',
  }),
});

/** RFC 9457. */
export const ProblemSchema = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String({ description: 'What is wrong and what to do about it.' }),
    errors: Type.Optional(
      Type.Array(
        Type.Object({
          in: Type.String({ description: '`path`, `query` or `body`.' }),
          field: Type.String(),
          problem: Type.String(),
        }),
        { description: 'With 400: each thing that is wrong with the request.' },
      ),
    ),
    lock: Type.Optional(Ref('Lock')),
  },
  { $id: 'Problem', title: 'Problem' },
);

/** One thing that is done to Lockkeeper, and what must be true of its answer. */
import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import type { Json } from '../support/rest.ts';
import { unsafeIn, unsafeInside } from '../support/unsafe-text.ts';
import { exchange, type RawRequest, rawRequests } from './bytes.ts';
import { histories, type Kept, NAMESPACE, NEW_UID, uidOfStored } from './history.ts';
import { mayClear, ruleFor, type Sight } from './oracle.ts';
import { type RestRequest, restRequests } from './rest-requests.ts';
import { reviews } from './reviews.ts';
import { rarely } from './values.ts';
import type { World } from './world.ts';

export interface Attempt {
  readonly history: readonly Kept[];
  /** Whether the API server refuses to read what is stored there. */
  readonly isUnreadable: boolean;
  readonly action:
    | { readonly kind: 'review'; readonly query: string; readonly text: string }
    | ({ readonly kind: 'rest' } & RestRequest)
    | ({ readonly kind: 'raw' } & RawRequest);
}

/** The API server gives a second at least; whoever gives less cannot be answered. */
const timeouts = fc.constantFrom(
  '',
  '?timeout=10s',
  '?timeout=30s',
  '?timeout=1m30s',
  '?timeout=soon',
  '?timeout=-1s',
  '?timeout=999999999h',
  `?timeout=${'9'.repeat(400)}s`,
  '?timeout=10s&timeout=20s',
  '?dryRun=All',
);

export const attempts: fc.Arbitrary<Attempt> = fc.record({
  history: histories,
  isUnreadable: rarely(fc.constant(true)).map(Boolean),
  action: fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({ kind: fc.constant('review' as const), query: timeouts, text: reviews }),
    },
    { weight: 3, arbitrary: restRequests.map((request) => ({ kind: 'rest' as const, ...request })) },
    { weight: 1, arbitrary: rawRequests.map((request) => ({ kind: 'raw' as const, ...request })) },
  ),
});

/** What came of it: for the tally, and what is wrong with it. */
export interface Outcome {
  readonly seen: string;
  readonly problem: string | undefined;
}

/** Does it, in a namespace that was never used, and leaves nothing behind. */
export async function make(attempt: Attempt, world: World, lane: number): Promise<Outcome> {
  const namespace = `fuzz-${randomUUID()}`;
  world.stored.put(namespace, attempt.history);
  if (attempt.isUnreadable) world.unreadable.add(namespace);
  try {
    return await act(attempt, world, lane, namespace);
  } catch (error) {
    return { seen: 'nothing', problem: `no answer: ${error}` };
  } finally {
    world.unreadable.delete(namespace);
    await world.stored.empty(namespace);
  }
}

async function act(
  { action, isUnreadable }: Attempt,
  world: World,
  lane: number,
  namespace: string,
): Promise<Outcome> {
  const before = world.stored.of(namespace);
  const fill = (text: string) => filled(text, namespace, before);
  const sight = (): Sight => ({ before, after: world.stored.of(namespace), now: world.now() });
  switch (action.kind) {
    case 'review': {
      const text = fill(action.text);
      const { status, body, printed } = await world.review(lane, action.query, text);
      const outcome = judgeReview(status, body, text, sight(), isUnreadable);
      // The uid of an answer is the caller's own, and no client prints it.
      const shown = status === 200 ? deceitOfReview(body) : deceit(printed);
      return { ...outcome, problem: outcome.problem ?? shown };
    }
    case 'rest': {
      const { status, printed } = await world.rest(
        lane,
        { ...action, path: fill(action.path) },
        fill(action.query),
      );
      const isWrong = !mayClear(fill(action.query), sight());
      const broken = isWrong ? 'a live lock was cleared without force' : failure(status, isUnreadable);
      return { seen: `rest ${status}`, problem: broken ?? deceit(printed) };
    }
    case 'raw': {
      const bytes = Buffer.from(fill(Buffer.from(action.bytes, 'base64').toString('latin1')), 'latin1');
      const answer = await exchange(world.target, bytes, AbortSignal.timeout(world.hangMs));
      return judgeAnswers(answer, fill(action.text), sight(), isUnreadable);
    }
  }
}

/** An answer is shown on terminals, as it comes. */
function deceit(printed: string): string | undefined {
  const found = unsafeIn(printed.replaceAll('\n', ''));
  return found && `an answer with ${found} in it`;
}

/** Helm and kubectl print what they have parsed. */
function deceitOfReview(body: Json): string | undefined {
  const found = unsafeInside([body?.response?.status, body?.response?.warnings]);
  return found && `an answer to Helm with ${found} in it`;
}

/** With what is known only when it is sent. */
function filled(text: string, namespace: string, before: Sight['before']): string {
  const withNew = text.replaceAll(NAMESPACE, namespace).replaceAll(NEW_UID, randomUUID());
  return [1, 2, 3, 4, 5].reduce((sofar, revision) => {
    const stored = before.find(({ metadata }) => metadata.name.endsWith(`.v${revision}`));
    return sofar.replaceAll(uidOfStored(revision), stored?.metadata.uid ?? randomUUID());
  }, withNew);
}

/** An answer that says that something broke is nobody's fault only if the cluster was made to fail. */
function failure(status: number, isUnreadable: boolean): string | undefined {
  return status >= 500 && !isUnreadable ? `a ${status} of our own making` : undefined;
}

function judgeReview(status: number, body: Json, text: string, sight: Sight, isUnreadable: boolean): Outcome {
  const broken = failure(status, isUnreadable);
  if (status !== 200) return { seen: `review ${status}`, problem: broken };
  const { uid, allowed, status: denial } = body.response;
  if (!allowed) return { seen: `denied ${denial.code}`, problem: undefined };
  const review = parse(text);
  const rule = ruleFor(review, sight);
  const isForIt = uid === review.request.uid;
  const problem = isForIt
    ? rule
      ? undefined
      : 'an allow that no rule gives'
    : 'the answer to another review';
  return { seen: `allowed: ${rule}`, problem };
}

/** As everybody does who is kind. */
function parse(text: string): Json {
  return JSON.parse(text.replace(/^\ufeff/, ''));
}

/** Of any number of answers that came over one connection. */
function judgeAnswers(answer: string, text: string, sight: Sight, isUnreadable: boolean): Outcome {
  const statuses = [...answer.matchAll(/^HTTP\/1\.1 (\d{3})/gm)].map(([, status]) => Number(status));
  const isAllowed = answer.includes('"allowed":true') && ruleFor(parse(text), sight) === undefined;
  const broken = statuses.map((status) => failure(status, isUnreadable)).find(Boolean);
  const problem = isAllowed ? 'an allow that no rule gives' : broken;
  return { seen: `raw ${statuses[0] ?? 'closed'}`, problem };
}

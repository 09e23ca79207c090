/**
 * The body of a review: received, measured, and only then parsed. What is too much is told to an API server in an answer to its review,
 * as far as that can be: an error would leave the decision to `failurePolicy`, and a webhook that may be ignored could be passed by
 * whoever can make a record large.
 */
import { isAscii } from 'node:buffer';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { notAReview, type ParsedBody, parseAdmissionReview } from '../gate/admission-review.ts';
import { measureReview } from '../gate/review-structure.ts';
import { mayParse } from './bodies.ts';
import { Problem } from './problem.ts';

/**
 * A record of 1 MiB makes a review of 1.3 MB on CREATE, and an UPDATE carries two; the API server
 * takes no request above 3 MiB. 7 MiB is what controller-runtime allows.
 */
export const BODY_LIMIT_BYTES = 7 * 1024 * 1024;

/**
 * What an API server may send at most: two objects, each with 1 MiB of data and 256 KiB of annotations, of which JSON escapes each byte with
 * six; and 3 MiB of names. Of what is longer than the limit, the rest is received, and not kept.
 */
const MOST_BYTES = 18 * 1024 * 1024;

/** There is too much in hand to parse it now. */
const TOO_MUCH = 'too much';

type ReviewBody = ParsedBody | typeof TOO_MUCH;

/** For the route that reads reviews; no other reads bodies. */
export function readReviews(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', async (request: FastifyRequest): Promise<ReviewBody> => {
    if (Number(request.headers['content-length']) > MOST_BYTES) throw tooLarge();
    const { bytes, isWhole } = await receive(request);
    const structure = measureReview(bytes);
    if (structure.kind === 'excessive') return refused(structure.uid, structure.problem);
    if (!isWhole) return refused(structure.uid, `it is longer than ${BODY_LIMIT_BYTES} bytes`);
    if (!mayParse(request, bytes.length, { ...structure, isAscii: isAscii(bytes) })) return TOO_MUCH;
    return parseAdmissionReview(parse(bytes));
  });
}

function refused(uid: string | undefined, problem: string): ReviewBody {
  return { uid, problem: notAReview(problem) };
}

/** The review that a request brought, or what is wrong with it; undefined if it could not be read for lack of memory. */
export function reviewOf({ body }: FastifyRequest): ParsedBody | undefined {
  // Without a type, there is no body.
  if (body === undefined) return parseAdmissionReview(undefined);
  return body === TOO_MUCH ? undefined : (body as ParsedBody);
}

async function receive({ raw }: FastifyRequest): Promise<{ bytes: Buffer; isWhole: boolean }> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of raw as AsyncIterable<Buffer>) {
      if (length < BODY_LIMIT_BYTES) chunks.push(chunk);
      length += chunk.length;
      // Nobody waits for the answer to what has no end.
      if (length > MOST_BYTES) throw tooLarge();
    }
  } catch (error) {
    throw error instanceof Problem ? error : new Problem(400, 'the body did not arrive');
  }
  return { bytes: Buffer.concat(chunks).subarray(0, BODY_LIMIT_BYTES), isWhole: length <= BODY_LIMIT_BYTES };
}

/** The parser's own words quote the text. */
function parse(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    throw new Problem(400, 'the body is not JSON');
  }
}

function tooLarge(): Problem {
  return new Problem(413, `the body is longer than ${MOST_BYTES} bytes`, {}, { connection: 'close' });
}

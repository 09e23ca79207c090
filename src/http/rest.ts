/**
 * Everything under `/api/v1`, with its description at `/openapi.json` and `/docs`: who asks is known before
 * anything else is looked at, and how often they ask is limited. The webhook has nothing of this: all its calls
 * come from a few API servers.
 */
import rateLimit from '@fastify/rate-limit';
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Clock } from '../clock.ts';
import { type AccessReviews, type Caller, createAuthentication } from './authentication.ts';
import { cannotAsk } from './lock-answers.ts';
import { type Locks, useLocks } from './locks.ts';
import { handleErrors, Problem } from './problem.ts';
import { LockSchema, ProblemSchema } from './schemas.ts';
import { badRequest, compileValidator } from './validation.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who sends the request; null where nobody has to say. */
    caller: Caller | null;
  }
}

export interface RestOptions {
  readonly locks: Locks;
  readonly reviews: AccessReviews;
  readonly clock: Pick<Clock, 'now' | 'after'>;
  readonly mostWaitsOfOne?: number;
}

/**
 * Requests of one identity in a minute: a thousand jobs of one service account may start together.
 */
const MAX_PER_IDENTITY = 3_000;

/** Tokens from one address that the API server did not accept, in a minute. Behind a proxy, all have the same. */
const MAX_REFUSED_TOKENS = 600;

const MINUTE_MS = 60_000;

const DESCRIPTION = `One Helm deploy at a time: see who locks a release, wait for it, and clear a lock whose holder is dead.

Every request under \`/api/v1\` carries a bearer token of the cluster, such as \`kubectl create token\` prints. Rights are those of
RBAC on \`releaselocks\` in the API group \`lockkeeper.dev\`: \`list\`, \`get\`, \`watch\` to wait, \`delete\` to clear; and \`delete\` on
\`releaselocks/force\` to clear a live lock.`;

/** @returns what Fastify is given to register */
export function rest(options: RestOptions) {
  return async (app: FastifyInstance): Promise<void> => {
    await app.register(swagger, {
      openapi: {
        openapi: '3.1.0',
        info: { title: 'Lockkeeper', version: '1', description: DESCRIPTION },
        components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
      },
      refResolver: {
        // Every schema that is shared has one.
        buildLocalReference: ({ $id }) => String($id),
      },
    });
    await app.register(swaggerUi, { routePrefix: '/docs', staticCSP: true });
    await app.register(rateLimit, { global: false });
    app.addSchema(LockSchema);
    app.addSchema(ProblemSchema);
    app.get('/openapi.json', { schema: { hide: true } }, () => app.swagger());
    await app.register((api) => useApi(api, options), { prefix: '/api/v1' });
  };
}

async function useApi(api: FastifyInstance, options: RestOptions): Promise<void> {
  const { reviews, clock } = options;
  const strangers = api.createRateLimit({
    max: MAX_REFUSED_TOKENS,
    timeWindow: MINUTE_MS,
    keyGenerator: ({ ip }) => ip,
  });
  const identities = api.createRateLimit({
    max: MAX_PER_IDENTITY,
    timeWindow: MINUTE_MS,
    keyGenerator: ({ caller }) => String(caller?.identity.username),
  });
  const authentication = createAuthentication({
    reviews,
    beforeAsking: (request) => look(strangers, request, REFUSED_TOKENS),
    onRefused: async (request) => {
      await strangers(request);
    },
    now: clock.now,
  });

  api.decorateRequest('caller', null);
  api.addHook('onRequest', async (request) => {
    refuseBody(request);
    // Whoever clears a lock must have the right to do so now, not ten seconds ago.
    request.caller = await identified(request, authentication.identify(request, request.method === 'DELETE'));
    await spend(identities, request, `requests of ${request.caller.name}`);
  });
  api.setValidatorCompiler(compileValidator);
  // A pipeline may look every second; who is turned away at the door is worth a line.
  handleErrors(api, (status) => ([401, 403, 429].includes(status) ? 'info' : 'debug'));
  // The schemas of answers are for the reader: what is answered is written as it is.
  api.setSerializerCompiler(() => JSON.stringify);
  useLocks(api, { ...options, authentication });
}

type Limiter = ReturnType<FastifyInstance['createRateLimit']>;

const REFUSED_TOKENS = 'tokens that the API server does not accept';

/** A stranger is not told what the API server says, nor where it is; the log is. */
async function identified(request: FastifyRequest, question: Promise<Caller>): Promise<Caller> {
  try {
    return await question;
  } catch (error) {
    if (error instanceof Problem) throw error;
    request.log.error({ reason: String(error) }, 'the API server does not say whose token this is');
    throw cannotAsk('whose token this is');
  }
}

/** Throws when nothing is left of a limit, without counting this request. */
async function look(limiter: Limiter, request: FastifyRequest, what: string): Promise<void> {
  const state = await limiter(request, { increment: false });
  if (!state.isAllowed && state.remaining === 0) throw tooMany(what, state);
}

async function spend(limiter: Limiter, request: FastifyRequest, what: string): Promise<void> {
  const state = await limiter(request);
  if (!state.isAllowed && state.isExceeded) throw tooMany(what, state);
}

function tooMany(what: string, { max, ttlInSeconds }: { max: number; ttlInSeconds: number }): Problem {
  const detail = `too many ${what}: there may be ${max} in a minute. Come back in ${ttlInSeconds}s`;
  return new Problem(429, detail, {}, { 'retry-after': String(ttlInSeconds) });
}

/** What is said in a body would be ignored, and whoever said it would not know. */
function refuseBody({ raw: { headers } }: FastifyRequest): void {
  const length = headers['content-length'] ?? '0';
  if (length === '0' && headers['transfer-encoding'] === undefined) {
    // Some clients announce JSON and send none.
    delete headers['content-type'];
    return;
  }
  throw badRequest([{ in: 'body', field: 'body', problem: 'must be empty: parameters go into the query' }]);
}

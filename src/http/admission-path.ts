/** Who may send reviews: whoever knows the path, and has a certificate where one is demanded. All others are refused before their body is read. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { sendNotFound, sendProblem } from './problem.ts';

/** Paths at which reviews come. They change, so that the routes cannot tell them. */
export interface AdmissionPaths {
  /** Whether reviews that come by this path are read. It is compared in constant time. */
  isRight(path: string): boolean | Promise<boolean>;
}

export interface StrangersOptions {
  readonly paths: AdmissionPaths;
  /** Whether a request came over a connection with the client certificate that is demanded. */
  readonly isVouchedFor: (request: FastifyRequest) => boolean;
}

/** As Fastify writes it: each path of a POST that no other route has. */
export const REVIEWS = '/*';

/** Call it before whatever counts bodies. */
export function refuseStrangers(app: FastifyInstance, { paths, isVouchedFor }: StrangersOptions): void {
  app.addHook('onRequest', async (request, reply) => {
    const isReview = request.routeOptions.url === REVIEWS;
    if (isReview && (await paths.isRight(pathOf(request)))) {
      return isVouchedFor(request) ? undefined : refuseWithoutCertificate(request, reply);
    }
    return isReview || request.is404 ? sendNotFound(request, unread(request, reply)) : undefined;
  });
}

function pathOf({ url }: FastifyRequest): string {
  return url.split('?', 1)[0] as string;
}

function refuseWithoutCertificate(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  request.log.warn({ ip: request.ip }, 'a review without the client certificate was refused');
  const detail = 'reviews must come with a client certificate of the authority that lockkeeper was given';
  return sendProblem(unread(request, reply), 403, detail);
}

/** What follows on the connection is a body that nobody reads: it ends there. */
function unread({ headers }: FastifyRequest, reply: FastifyReply): FastifyReply {
  const hasBody = Number(headers['content-length'] ?? 0) > 0 || headers['transfer-encoding'] !== undefined;
  return hasBody ? reply.header('connection', 'close') : reply;
}

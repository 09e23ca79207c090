import type { FastifyReply } from 'fastify';

/** Aborted when the connection is lost before the answer was sent. */
export function hangUpSignal(reply: FastifyReply): AbortSignal {
  const hangUp = new AbortController();
  const close = () => {
    if (!reply.raw.writableFinished) hangUp.abort(new Error('the caller hung up'));
  };
  // They may have hung up before, while the API server was asked about their rights.
  if (reply.raw.closed) close();
  else reply.raw.once('close', close);
  return hangUp.signal;
}

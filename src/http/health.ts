/** `GET /livez` and `/readyz`, in the words and codes of Kubernetes' own components. */
import type { FastifyInstance } from 'fastify';

export interface Readiness {
  /** Why no traffic should come here, one reason each; empty when ready. */
  reasons(): readonly string[];
  /** What is worth knowing either way, a line each. */
  notes(): readonly string[];
}

export function useHealth(app: FastifyInstance, readiness: Readiness): void {
  app.get('/livez', (_request, reply) => reply.type('text/plain').send('ok\n'));
  app.get('/readyz', (_request, reply) => {
    const reasons = readiness.reasons();
    const answer = reasons.length === 0 ? ['ok'] : reasons.map((reason) => `not ready: ${reason}`);
    const text = [...answer, ...readiness.notes()].map((line) => `${line}\n`).join('');
    return reply
      .code(reasons.length === 0 ? 200 : 503)
      .type('text/plain')
      .send(text);
  });
}

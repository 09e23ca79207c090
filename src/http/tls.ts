/** TLS of the HTTPS listener: the certificate that it serves with, and the client certificates that it takes. */
import type { Server as HttpsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { remoteEnd } from './connections.ts';

/** PEM. */
export interface Tls {
  readonly certificate: string;
  readonly privateKey: string;
  /** Who signs the client certificates that are demanded for reviews; undefined where none is. */
  readonly clientCa?: string | undefined;
}

/** Which authorities of clients a server was given, one after the other. */
interface ClientAuthorities {
  current: string | undefined;
  /** How often they have changed. */
  changes: number;
}

const authoritiesOf = new WeakMap<object, ClientAuthorities>();

/** New connections get this from now on; those that are open stay open. */
export function serveWith({ server }: Pick<FastifyInstance, 'server'>, tls: Tls): void {
  const authorities = authoritiesOf.get(server);
  if (authorities && authorities.current !== tls.clientCa) {
    authorities.current = tls.clientCa;
    authorities.changes += 1;
  }
  (server as HttpsServer).setSecureContext(secureContext(tls));
}

export function secureContext({ certificate, privateKey, clientCa }: Tls) {
  return { cert: certificate, key: privateKey, ...(clientCa !== undefined && { ca: clientCa }) };
}

/**
 * Asks each client for a certificate, and refuses none for lack of it: people and probes have none.
 * @returns whether a request came over a connection with one
 */
export function demandClientCertificates(app: FastifyInstance, first: string | undefined) {
  const authorities: ClientAuthorities = { current: first, changes: 0 };
  authoritiesOf.set(app.server, authorities);
  const acceptedAt = new Map<string, number>();
  app.server.on('connection', (socket: Socket) => {
    const end = remoteEnd(socket);
    acceptedAt.set(end, authorities.changes);
    socket.once('close', () => acceptedAt.delete(end));
  });
  app.addHook('onSend', async ({ raw: { socket } }, reply) => {
    // It was let in by authorities that may be trusted no more. To cut it off could make a deploy fail.
    if (acceptedAt.get(remoteEnd(socket)) !== authorities.changes) reply.header('connection', 'close');
  });
  return ({ raw: { socket } }: FastifyRequest): boolean => (socket as TLSSocket).authorized;
}

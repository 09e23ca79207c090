/** A way to the API server on which a test can stop people, until it lets them go on. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Test } from 'tap';
import { type Passage, startPassage } from './passage.ts';

export interface Doorway extends Passage {
  /** Whoever asks this waits until the promise resolves. Returns the function that ends it. */
  stop(whom: (request: IncomingMessage) => Promise<void> | undefined): () => void;
  /** Whoever asks this is answered as by an API server in trouble. Returns the function that ends it. */
  refuse(whom: (request: IncomingMessage) => boolean): () => void;
}

const TROUBLE = {
  apiVersion: 'v1',
  kind: 'Status',
  status: 'Failure',
  reason: 'InternalError',
  message: 'the doorway refused this',
  code: 500,
};

/** Ends with the test. @param to of the API server */
export async function startDoorway(t: Test, to: { url: string; caCertificate: string }): Promise<Doorway> {
  const rules = new Set<(request: IncomingMessage) => Promise<void> | undefined>();
  const refusals = new Set<(request: IncomingMessage) => boolean>();

  async function mayPass(request: IncomingMessage, response: ServerResponse): Promise<boolean> {
    for (const rule of rules) await rule(request);
    if (![...refusals].some((isRefused) => isRefused(request))) return true;
    response.writeHead(500, { 'content-type': 'application/json' }).end(JSON.stringify(TROUBLE));
    return false;
  }

  return {
    ...(await startPassage(t, to, { mayPass })),
    stop(rule) {
      rules.add(rule);
      return () => void rules.delete(rule);
    },
    refuse(whom) {
      refusals.add(whom);
      return () => void refusals.delete(whom);
    },
  };
}

/** The way of one replica to the API server, on which its watches can be cut or stalled, and everything be blocked. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Test } from 'tap';
import { type Passage, startPassage } from '../support/passage.ts';

export interface Lane extends Passage {
  cutWatches(): void;
  /** Watches stay open, and tell nothing, until this is taken back. */
  stall(isStalled: boolean): void;
  /** Nothing passes, and nobody is answered, until this is taken back. */
  block(isBlocked: boolean): void;
}

/** Ends with the test. @param to of the API server */
export async function startLane(t: Test, to: { url: string; caCertificate: string }): Promise<Lane> {
  const watches = new Map<ServerResponse, IncomingMessage>();
  const underWay = new Set<ServerResponse>();
  let isStalled = false;
  let isBlocked = false;

  const passage = await startPassage(t, to, {
    mayPass(_request, response) {
      if (isBlocked) {
        response.destroy();
        return false;
      }
      underWay.add(response);
      response.on('close', () => {
        underWay.delete(response);
        watches.delete(response);
      });
      return true;
    },
    onAnswer({ url = '' }, response, answer) {
      if (!/[?&]watch=(true|1)/.test(url)) return;
      watches.set(response, answer);
      if (isStalled) answer.pause();
    },
  });
  return {
    ...passage,
    cutWatches() {
      for (const response of watches.keys()) response.destroy();
    },
    stall(stalled) {
      isStalled = stalled;
      for (const answer of watches.values()) {
        if (stalled) answer.pause();
        else answer.resume();
      }
    },
    block(blocked) {
      isBlocked = blocked;
      if (blocked) for (const response of underWay) response.destroy();
    },
  };
}

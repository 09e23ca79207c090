/** The way of one replica to the API server, on which its watches can be cut or stalled, and everything be blocked. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Test } from 'tap';
import { type Passage, startPassage } from '../support/passage.ts';

export interface Lane extends Passage {
  cutWatches(): void;
  /** Watches stay open, and tell nothing, until this is taken back. */
  stall(isStalled: boolean): void;
  /** What the API server's answers say of the time is wrong by so much: all of them, or every other one. */
  setClock(offMs: number, isMixed: boolean): void;
  /** Nothing passes, and nobody is answered, until this is taken back. */
  block(isBlocked: boolean): void;
}

/** Ends with the test. @param to of the API server */
export async function startLane(t: Test, to: { url: string; caCertificate: string }): Promise<Lane> {
  const watches = new Map<ServerResponse, IncomingMessage>();
  const underWay = new Set<ServerResponse>();
  let isStalled = false;
  let isBlocked = false;
  let clock = { offMs: 0, isMixed: false };
  let answers = 0;

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
    headersOf({ headers }) {
      answers += 1;
      const { offMs, isMixed } = clock;
      const isWrong = offMs !== 0 && !(isMixed && answers % 2 === 0);
      const date = new Date(Date.parse(headers.date ?? '') + offMs);
      return isWrong && headers.date !== undefined ? { ...headers, date: date.toUTCString() } : headers;
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
    setClock(offMs, isMixed) {
      clock = { offMs, isMixed };
    },
    block(blocked) {
      isBlocked = blocked;
      if (blocked) for (const response of underWay) response.destroy();
    },
  };
}

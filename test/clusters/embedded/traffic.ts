/** Counts what reaches the server, so that tests can say how often a client asks and connects. */
import type { Socket } from 'node:net';

export interface RequestCount {
  readonly method: string;
  /** The path with placeholders: `/api/v1/namespaces/{namespace}/secrets/{name}`. */
  readonly pattern: string;
  /** `get`, `list`, `watch`, `create`, …, or the method in lower case outside of the resources. */
  readonly verb: string;
  readonly userAgent: string;
  readonly user: string;
  readonly count: number;
}

export interface Traffic {
  /** One entry for each combination that was seen. */
  requests(): readonly RequestCount[];
  /** The sum of the counts that fit. */
  countRequests(matches: (request: RequestCount) => boolean): number;
  /** Connections accepted, by the user agent of their first request. */
  connectionsOpened(): ReadonlyMap<string, number>;
  /** Starts both counts anew. */
  reset(): void;
}

export interface TrafficRecorder extends Traffic {
  request(request: Omit<RequestCount, 'count'>): void;
  connection(socket: Socket, userAgent: string): void;
}

export function createTraffic(): TrafficRecorder {
  const requests = new Map<string, RequestCount>();
  const connections = new Map<string, number>();
  const known = new WeakSet<Socket>();
  return {
    requests: () => [...requests.values()],
    countRequests: (matches) =>
      [...requests.values()].filter(matches).reduce((sum, { count }) => sum + count, 0),
    connectionsOpened: () => new Map(connections),
    reset() {
      requests.clear();
      connections.clear();
    },
    request(request) {
      const key = JSON.stringify(request);
      requests.set(key, { ...request, count: (requests.get(key)?.count ?? 0) + 1 });
    },
    connection(socket, userAgent) {
      if (known.has(socket)) return;
      known.add(socket);
      connections.set(userAgent, (connections.get(userAgent) ?? 0) + 1);
    },
  };
}

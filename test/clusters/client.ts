/** A small client of the Kubernetes API for tests: no cache, no retries, every answer as it came. */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import { text } from 'node:stream/consumers';
import type { KubernetesObject, StoredObject } from './kubernetes-object.ts';

export interface Connection {
  readonly url: string;
  readonly caCertificate: string;
  readonly token: string;
}

export interface RequestOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export interface ApiResponse<Body> {
  readonly code: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Body;
}

export interface WatchEvent {
  readonly type: string;
  readonly object: StoredObject;
}

export interface ApiClient {
  /** Any request; resolves whatever the code is. `body` is sent as JSON, a string as it is. */
  request<Body = StoredObject>(
    method: string,
    path: string,
    body?: unknown,
    options?: RequestOptions,
  ): Promise<ApiResponse<Body>>;
  /** The rest throw an Error with the server's message for codes of 400 and above. */
  create(path: string, object: object): Promise<StoredObject>;
  /** One that is there already gets the labels. */
  createNamespace(name: string, labels?: Record<string, string>): Promise<StoredObject>;
  get(path: string): Promise<StoredObject>;
  list(path: string): Promise<readonly StoredObject[]>;
  replace(path: string, object: object): Promise<StoredObject>;
  /** A JSON merge patch. */
  patch(path: string, patch: object): Promise<StoredObject>;
  remove(path: string, options?: object): Promise<void>;
  /** The events of a watch; ends when the server or the signal ends it. `path` carries the query. */
  watch(path: string, options?: RequestOptions): AsyncGenerator<WatchEvent>;
  /** Writes the status of a Job as the job controller would, so that a Helm hook ends. */
  completeJob(namespace: string, name: string, outcome: 'Complete' | 'Failed'): Promise<void>;
  /** Closes idle connections. */
  close(): void;
}

const USER_AGENT = 'lockkeeper-test/1';

const MERGE_PATCH = 'application/merge-patch+json';

export function connect({ url, caCertificate, token }: Connection): ApiClient {
  const agent = new Agent({ keepAlive: true, ca: caCertificate });

  async function send(method: string, path: string, body: unknown, options: RequestOptions = {}) {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const content = typeof body === 'string' ? body : JSON.stringify(body);
    const outgoing = httpsRequest(`${url}${path}`, {
      method,
      agent,
      ...(options.signal && { signal: options.signal }),
      headers: {
        authorization: `Bearer ${token}`,
        'user-agent': USER_AGENT,
        ...(content !== undefined && {
          'content-type': 'application/json',
          // Without it, Node sends the body of a DELETE without saying where it ends.
          'content-length': String(Buffer.byteLength(content)),
        }),
        ...options.headers,
      },
    });
    outgoing.on('response', resolve).on('error', reject);
    outgoing.end(content);
    return promise;
  }

  async function request<Body>(method: string, path: string, body?: unknown, options?: RequestOptions) {
    const response = await send(method, path, body, options);
    const answer = await text(response);
    return {
      code: response.statusCode as number,
      headers: response.headers,
      body: (response.headers['content-type'] === 'application/json' ? JSON.parse(answer) : answer) as Body,
    };
  }

  async function successful<Body>(method: string, path: string, body?: unknown, options?: RequestOptions) {
    const response = await request<Body & { message?: string }>(method, path, body, options);
    if (response.code >= 400) throw new Error(`${method} ${path}: ${response.code} ${response.body.message}`);
    return response.body as Body;
  }

  const patch = (path: string, change: object) =>
    successful<StoredObject>('PATCH', path, change, { headers: { 'content-type': MERGE_PATCH } });

  async function* watch(path: string, options?: RequestOptions) {
    const response = await send('GET', path, undefined, options);
    if (response.statusCode !== 200)
      throw new Error(`GET ${path}: ${response.statusCode} ${await text(response)}`);
    for await (const line of linesOf(response)) yield JSON.parse(line) as WatchEvent;
  }

  return {
    request,
    create: (path, object) => successful('POST', path, object),
    async createNamespace(name, labels = {}) {
      const namespace = namespaceObject(name, labels);
      const { code, body } = await request<StoredObject>('POST', '/api/v1/namespaces', namespace);
      if (code === 409) return patch(`/api/v1/namespaces/${name}`, { metadata: { labels } });
      if (code >= 400) throw new Error(`POST /api/v1/namespaces: ${code} ${body.message}`);
      return body;
    },
    get: (path) => successful('GET', path),
    list: async (path) => (await successful<{ items: StoredObject[] }>('GET', path)).items,
    replace: (path, object) => successful('PUT', path, object),
    patch,
    remove: (path, options) => successful('DELETE', path, options),
    watch,
    async completeJob(namespace, name, outcome) {
      await patch(`/apis/batch/v1/namespaces/${namespace}/jobs/${name}/status`, {
        status: jobStatus(outcome),
      });
    },
    close: () => agent.destroy(),
  };
}

/** Unlike readline, this leaves an error of the stream to whoever asks for the next line. */
async function* linesOf(stream: IncomingMessage): AsyncGenerator<string> {
  let rest = '';
  for await (const chunk of stream.setEncoding('utf8') as AsyncIterable<string>) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() as string;
    yield* lines;
  }
}

function namespaceObject(name: string, labels: Record<string, string>): KubernetesObject {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
}

/** The real API server accepts an end only together with the condition that announces it. */
function jobStatus(outcome: 'Complete' | 'Failed'): object {
  const now = new Date().toISOString();
  const condition = (type: string) => ({ type, status: 'True', lastProbeTime: now, lastTransitionTime: now });
  if (outcome === 'Complete') {
    const conditions = [condition('SuccessCriteriaMet'), condition('Complete')];
    return { startTime: now, completionTime: now, succeeded: 1, conditions };
  }
  const why = { reason: 'BackoffLimitExceeded', message: 'Job has reached the specified backoff limit' };
  const conditions = ['FailureTarget', 'Failed'].map((type) => ({ ...condition(type), ...why }));
  return { startTime: now, failed: 1, conditions };
}

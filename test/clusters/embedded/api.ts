/** The API itself: from a request that has been read to the object that answers it. */
import {
  isJsonObject,
  type JsonObject,
  type KubernetesObject,
  type StoredObject,
} from '../kubernetes-object.ts';
import { isDryRun, readDeleteOptions } from './delete-options.ts';
import { discover } from './discovery.ts';
import { checkVersion, listPage, problemOfVersion } from './lists.ts';
import { checkConflicts, withoutAbandoned } from './managed-fields.ts';
import { chooseTransform } from './media-types.ts';
import { type NamespaceController, passOverMissing } from './namespaces.ts';
import { jsonPatch, mergePatch, strategicMergePatch } from './patches.ts';
import { type Preconditions, withSameUid } from './preconditions.ts';
import type { Stream } from './reply.ts';
import { createRepresentation, type Representation } from './representation.ts';
import { parseTarget, type ResourceTarget, type Verb, verbOf } from './request-info.ts';
import { keyOf, type Resource } from './resources.ts';
import { answerReview, type ReviewDependencies, requestToken } from './reviews.ts';
import { type Predicate, parseFieldSelector, parseLabelSelector } from './selectors.ts';
import {
  badRequest,
  conflict,
  detailsOf,
  failure,
  invalid,
  methodNotAllowed,
  notFound,
  type Status,
  unknownPath,
  unsupportedPatch,
} from './status.ts';
import { ANONYMOUS, accessDenied, pathDenied, type UserInfo } from './users.ts';
import { readInitialEvents, type Watches } from './watches.ts';
import type { WriteRequest } from './write-request.ts';
import type { Writes } from './writes.ts';

/** A request whose sender is known and whose body has been read. */
export interface ApiRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly accept: string | undefined;
  /** Without parameters; empty when there is none. */
  readonly contentType: string;
  readonly userAgent: string;
  readonly user: UserInfo;
  /** The parsed JSON, undefined when there is none. */
  readonly body: unknown;
  readonly signal: AbortSignal;
  readonly warn: (text: string) => void;
  /** Starts a streamed answer. */
  readonly stream: () => Stream;
}

export interface Answer {
  readonly code: number;
  readonly body: object;
}

export interface ApiDependencies extends ReviewDependencies {
  readonly resources: readonly Resource[];
  readonly writes: Writes;
  readonly watches: Watches;
  readonly namespaces: NamespaceController;
}

/** Undefined when the answer is a stream. Throws ApiError for everything that goes wrong. */
export type Api = (request: ApiRequest) => Promise<Answer | undefined>;

type Handler = (
  request: ApiRequest,
  target: ResourceTarget,
) => Promise<Answer | undefined> | Answer | undefined;

/** Server-side apply: creates, or merges. */
const APPLY = 'application/apply-patch+yaml';

const PATCHES: Readonly<Record<string, (current: unknown, patch: unknown) => unknown>> = {
  'application/merge-patch+json': mergePatch,
  'application/strategic-merge-patch+json': strategicMergePatch,
  'application/json-patch+json': jsonPatch,
};

export function createApi(dependencies: ApiDependencies): Api {
  const { resources, store, writes, watches, authorize, namespaces, now } = dependencies;

  const handlers: Readonly<Record<Verb, Handler>> = {
    get(request, target) {
      checkVersion(store, request.query);
      return ok(representationOf(request, target).one(existing(target)));
    },

    list(request, target) {
      const { query } = request;
      const matches = selection(target, query);
      const page = listPage(store, { resource: target.resource, namespace: scopeOf(target), matches, query });
      return ok(representationOf(request, target).list(page.items, page.metadata));
    },

    watch(request, target) {
      const { query, signal, stream } = request;
      const problem = problemOfVersion(query);
      if (problem) throw failure(500, '', problem);
      const initial = readInitialEvents(query);
      const representation = representationOf(request, target);
      const matches = selection(target, query);
      watches.start({
        resource: keyOf(target.resource),
        matches,
        representation,
        from: initial ? undefined : Number(query.get('resourceVersion')) || store.revision(),
        timeoutSeconds: Number(query.get('timeoutSeconds') ?? 0),
        bookmarks: query.get('allowWatchBookmarks') === 'true',
        signal,
        ...stream(),
      });
      return undefined;
    },

    async create(request, target) {
      if (target.subresource === 'token') {
        return { code: 201, body: requestToken(target, objectBody(request), dependencies) };
      }
      if (target.name !== '') throw methodNotAllowed(request.method, request.path);
      const object = await writes.create(writeRequest(request, target), request.body);
      return { code: 201, body: representationOf(request, target).one(object) };
    },

    async update(request, target) {
      const object = await writes.update(writeRequest(request, target), () => request.body);
      return ok(representationOf(request, target).one(object));
    },

    async patch(request, target) {
      if (request.contentType === APPLY) return applyToServer(request, target);
      const apply = PATCHES[request.contentType];
      if (!apply) throw unsupportedPatch();
      const object = await writes.update(writeRequest(request, target), (current) =>
        withSameUid(target, current, apply(current, request.body)),
      );
      return ok(representationOf(request, target).one(object));
    },

    async delete(request, target) {
      const write = writeRequest(request, target);
      const { object, gone } = await writes.remove(write, preconditionsOf(request));
      if (target.resource.kind === 'Namespace' && !write.dryRun) namespaces.finalize(object.metadata.name);
      if (!gone) return ok((!write.dryRun && find(target)) || object);
      return ok(target.resource.returnsDeleted ? object : deleted(target, object));
    },

    async deletecollection(request, target) {
      const isEverywhere = target.resource.namespaced && target.namespace === '';
      if (isEverywhere || target.resource.kind === 'Namespace')
        throw methodNotAllowed('DELETE', request.path);
      const matches = selection(target, request.query);
      const items = [...store.list(keyOf(target.resource), scopeOf(target))].filter(matches);
      for (const { metadata } of items) {
        const one = { ...writeRequest(request, { ...target, name: metadata.name }), isCollection: true };
        await writes.remove(one, preconditionsOf(request)).catch(passOverMissing);
      }
      const metadata = { resourceVersion: String(store.revision()) };
      return ok(representationOf(request, target).list(items, metadata));
    },
  };

  async function applyToServer(request: ApiRequest, target: ResourceTarget): Promise<Answer> {
    const applied = appliedBy(request);
    const write = writeRequest(request, target);
    const isNew = !find(target);
    const { uid } = applied.metadata ?? {};
    if (isNew && uid) throw conflict(target.resource, target.name, noSuchObject(uid));
    const object = isNew
      ? await writes.create(write, applied, applied)
      : await writes.update(
          write,
          (current) => {
            if (request.query.get('force') !== 'true') checkConflicts(current, applied, write.manager);
            return strategicMergePatch(withoutAbandoned(current, applied, write.manager), applied);
          },
          applied,
        );
    return { code: isNew ? 201 : 200, body: representationOf(request, target).one(object) };
  }

  function representationOf({ accept, query }: ApiRequest, { resource }: ResourceTarget): Representation {
    return createRepresentation(resource, chooseTransform(accept), query, now);
  }

  function find({ resource, namespace, name }: ResourceTarget): StoredObject | undefined {
    return store.get(keyOf(resource), namespace, name);
  }

  function existing(target: ResourceTarget): StoredObject {
    const object = find(target);
    if (!object) throw notFound(target.resource, target.name);
    return object;
  }

  function checkAccess(request: ApiRequest, target: ResourceTarget, verb: Verb) {
    const { resource, subresource, namespace, name } = target;
    const plural = subresource === '' ? resource.plural : `${resource.plural}/${subresource}`;
    const access = { user: request.user, verb, group: resource.group, resource: plural, namespace, name };
    if (request.user === ANONYMOUS || !authorize(access)) throw accessDenied(resource, access);
  }

  return async (request) => {
    const { method, path, query } = request;
    const target = parseTarget(path, resources);
    if (!target) return { code: method === 'POST' ? 201 : 200, body: withoutTarget(request, dependencies) };
    if (!isServed(target)) throw unknownPath(method, path);
    const verb = verbOf(method, target, query);
    if (!verb) throw methodNotAllowed(method, path);
    checkAccess(request, target, verb);
    return handlers[verb](request, target);
  };
}

function ok(body: object): Answer {
  return { code: 200, body };
}

function isServed({ resource, subresource }: ResourceTarget): boolean {
  if (subresource === 'token') return resource.plural === 'serviceaccounts';
  return subresource === '' || (subresource === 'status' && resource.hasStatus);
}

/** Discovery and reviews. */
function withoutTarget(request: ApiRequest, dependencies: ApiDependencies): object {
  const { method, path, user } = request;
  if (user === ANONYMOUS && path !== '/version') throw pathDenied(method, path, user);
  const answer =
    method === 'POST'
      ? answerReview(path, objectBody(request), user, dependencies)
      : discover(path, dependencies.resources);
  if (!answer) throw unknownPath(method, path);
  return answer;
}

function objectBody({ body }: ApiRequest): JsonObject {
  if (!isJsonObject(body)) throw badRequest('the body is not an object');
  return body;
}

/** @throws ApiError 422 or 400 when it does not say who applies what */
function appliedBy(request: ApiRequest): KubernetesObject {
  if (!request.query.get('fieldManager')) {
    const problem = 'Required value: is required for apply patch';
    throw invalid('PatchOptions', 'meta.k8s.io', '', 'fieldManager', problem);
  }
  const applied = objectBody(request) as KubernetesObject;
  if (!applied.kind || !applied.apiVersion) throw badRequest('invalid object type: /, Kind=');
  return applied;
}

function noSuchObject(uid: string): string {
  return `uid mismatch: the provided object specified uid ${uid}, and no existing object was found`;
}

/** Undefined: all namespaces. */
function scopeOf({ namespace }: ResourceTarget): string | undefined {
  return namespace === '' ? undefined : namespace;
}

function selection(
  { resource, namespace, name }: ResourceTarget,
  query: URLSearchParams,
): Predicate<StoredObject> {
  const matchesLabels = parseLabelSelector(query.get('labelSelector') ?? '');
  const matchesFields = parseFieldSelector(query.get('fieldSelector') ?? '', resource);
  return (object) =>
    (namespace === '' || object.metadata.namespace === namespace) &&
    (name === '' || object.metadata.name === name) &&
    matchesLabels(object.metadata.labels ?? {}) &&
    matchesFields(object);
}

function writeRequest(request: ApiRequest, target: ResourceTarget): WriteRequest {
  const { query, user, userAgent, signal, warn } = request;
  const fieldManager = query.get('fieldManager');
  const { dryRun, options } = optionsOf(request);
  return {
    ...target,
    user,
    manager: fieldManager ?? (userAgent.split('/')[0] as string),
    isCollection: false,
    dryRun,
    options,
    signal,
    warn,
  };
}

function optionsOf({ method, body, query }: ApiRequest): Pick<WriteRequest, 'dryRun' | 'options'> {
  if (method !== 'DELETE') {
    const dryRun = isDryRun(OPTIONS[method] ?? '', query.getAll('dryRun'));
    return { dryRun, options: writeOptions(query) };
  }
  const { dryRun, shown } = readDeleteOptions(body, query);
  return { dryRun, options: shown };
}

/** What the query of each method is read as. */
const OPTIONS: Readonly<Record<string, string>> = {
  POST: 'CreateOptions',
  PUT: 'UpdateOptions',
  PATCH: 'PatchOptions',
};

/** What of the query a review shows. */
function writeOptions(query: URLSearchParams): Record<string, unknown> {
  const shown = ['fieldManager', 'fieldValidation'].filter((name) => query.has(name));
  return {
    ...Object.fromEntries(shown.map((name) => [name, query.get(name)])),
    ...(query.has('dryRun') && { dryRun: query.getAll('dryRun') }),
  };
}

function preconditionsOf({ body, query }: ApiRequest): Preconditions {
  return readDeleteOptions(body, query).preconditions;
}

function deleted({ resource }: ResourceTarget, { metadata }: StoredObject): Omit<Status, 'code'> {
  const details = { ...detailsOf(resource, metadata.name), uid: metadata.uid };
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details };
}

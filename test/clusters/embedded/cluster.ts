/**
 * An in-memory Kubernetes API server for the real Helm and the real kubectl.
 *
 *   const cluster = await startEmbeddedCluster({ log });     // well under a second
 *   const kubeconfig = await cluster.kubeconfig({ user: { username: 'alice' }, namespace: 'prod' });
 *   const admin = await cluster.client();                    // see ../client.ts: create, get, list, …
 *   await cluster.waitForWrite(({ verb, object }) => verb === 'ADDED' && object.kind === 'Job');
 *   await admin.completeJob('prod', 'app-pre', 'Complete');  // the hook ends, Helm goes on
 *   await cluster.stop();
 *
 * Beyond the `Cluster` interface (../cluster.ts): `onWrite`, `waitForWrite`, `onAdmission`,
 * `waitForAdmission`, `traffic` (requests and connections by user agent), `faults` (goAway, comeBack,
 * cutWatches, silenceWatches, compact, failRequests), `seed` (objects past all checks), `clock` (which makes
 * things old). Webhooks are installed as in life: create a ValidatingWebhookConfiguration, or let Helm do it.
 *
 * Not here, but in the real control plane: RBAC (see `authorize`), CEL, mutating webhooks, admission
 * policies, controllers (only namespaces are emptied, what lost its owner goes, and jobs end when told), schemas.
 */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { issueAuthority, issueServingCertificate } from '../../../src/tls/issue.ts';
import { connect } from '../client.ts';
import type { Cluster, User } from '../cluster.ts';
import { writeKubeconfig } from '../kubeconfig.ts';
import type { KubernetesObject, StoredObject } from '../kubernetes-object.ts';
import { type AdmissionEvent, createAdmission } from './admission.ts';
import { createApi } from './api.ts';
import { type ClusterClock, createClock, timestamp } from './clock.ts';
import { createEvents } from './events.ts';
import { createFaultRules, type FaultRule } from './faults.ts';
import { startGarbageCollector } from './garbage.ts';
import { createNamespaceController } from './namespaces.ts';
import { apiVersionOf, keyOf, RESOURCES, type Resource } from './resources.ts';
import { startServer } from './server.ts';
import { type Change, createStore, type Store } from './store.ts';
import { prepare } from './strategy.ts';
import { createTraffic, type Traffic } from './traffic.ts';
import { type Authorize, createUsers } from './users.ts';
import { createWatches } from './watches.ts';
import { createWebhookCaller, type ResolveService } from './webhook-call.ts';
import { createWrites } from './writes.ts';

export interface EmbeddedClusterOptions {
  /** Says no to what a test forbids: the answer is 403. Default: everybody who is known may do everything. */
  readonly authorize?: Authorize;
  /** Where webhooks of the form `clientConfig.service` are. Default: nowhere, the call fails. */
  readonly resolveService?: ResolveService;
  /** How often watches that ask for bookmarks get one; may be a fraction. Default 60, as the real server. */
  readonly bookmarkSeconds?: number;
  /** Resources to serve besides the built-in ones. */
  readonly resources?: readonly Resource[];
  /** Plurals of built-in resources that are not served, such as `releaselocks`: their definition is not there. */
  readonly without?: readonly string[];
  /** Told of everything that the cluster does not support, and of webhooks that failed. */
  readonly log?: (message: string) => void;
}

export interface Faults {
  /** Stops listening and cuts every connection. The state is kept. */
  goAway(): Promise<void>;
  /** Listens again, on the same port. */
  comeBack(): Promise<void>;
  /** Ends every watch: the stream just ends. */
  cutWatches(): void;
  /** While silent, watches stay open but deliver nothing, and what happens meanwhile is lost to them. */
  silenceWatches(silent: boolean): void;
  /** Older versions are forgotten: watches from them and continued lists end in 410. */
  compact(): void;
  /** Makes requests fail, wait, hang or lose their answers. Returns the function that ends it. */
  failRequests(rule: FaultRule): () => void;
}

export interface EmbeddedCluster extends Cluster {
  /** The time that the server stamps on objects and answers, and that tokens expire by. */
  readonly clock: ClusterClock;
  readonly faults: Faults;
  readonly traffic: Traffic;
  /** How many watches are open. */
  openWatches(): number;
  /** Told of each write right after it was stored. Returns the function that ends it. */
  onWrite(listener: (write: Change) => void): () => void;
  /** The first future write that fits. Rejects when the signal or `stop` comes first. */
  waitForWrite(matches: (write: Change) => boolean, signal?: AbortSignal): Promise<Change>;
  /** Told of each webhook call when it starts (`phase: 'called'`) and when it ends (`'answered'`). */
  onAdmission(listener: (event: AdmissionEvent) => void): () => void;
  /** The first future webhook call or answer that fits. */
  waitForAdmission(
    matches: (event: AdmissionEvent) => boolean,
    signal?: AbortSignal,
  ): Promise<AdmissionEvent>;
  /** Stores objects past admission and all checks, with their defaults: cheap enough for 100,000. */
  seed(objects: Iterable<KubernetesObject>): void;
}

const ADMIN: User = { username: 'admin', groups: ['system:masters'] };

export async function startEmbeddedCluster(options: EmbeddedClusterOptions = {}): Promise<EmbeddedCluster> {
  const { log = () => {}, authorize = () => true, bookmarkSeconds = 60, resolveService = nowhere } = options;
  const { resources: more = [], without = [] } = options;
  const stopping = new AbortController();
  const resources = [...RESOURCES.filter(({ plural }) => !without.includes(plural)), ...more];
  const clock = createClock();
  const store = createStore();
  const users = createUsers();
  const traffic = createTraffic();
  const faultRules = createFaultRules();
  const writeEvents = createEvents<Change>();
  const admissionEvents = createEvents<AdmissionEvent>();
  const caller = createWebhookCaller(resolveService);
  const admission = createAdmission({ store, caller, publish: admissionEvents.publish, log });
  const writes = createWrites(store, admission, clock.now);
  const watches = createWatches(store, bookmarkSeconds);
  store.subscribe(writeEvents.publish);
  const controlled = { resources, store, writes, log, stopping: stopping.signal };
  startGarbageCollector(controlled);

  const stored = (object: KubernetesObject) => {
    const resource = resources.find(
      (candidate) => candidate.kind === object.kind && apiVersionOf(candidate) === object.apiVersion,
    );
    if (!resource) throw new Error(`the embedded cluster knows no ${object.apiVersion} ${object.kind}`);
    store.insert(keyOf(resource), prepare(resource, withIdentity(object, timestamp(clock.now()))));
  };
  for (const name of ['default', 'kube-node-lease', 'kube-public', 'kube-system']) stored(namespace(name));

  certificates ??= issueCertificates();
  const { authority, certificate } = await certificates;
  const api = createApi({
    resources,
    store,
    writes,
    watches,
    users,
    authorize,
    namespaces: createNamespaceController(controlled),
    now: clock.now,
  });
  const server = await startServer({
    certificate,
    resources,
    api,
    users,
    faults: faultRules,
    traffic,
    log,
    now: clock.now,
  });
  const url = `https://127.0.0.1:${server.port}`;
  const folder = await mkdtemp(join(tmpdir(), 'embedded-cluster-'));
  const clients: { close(): void }[] = [];

  return {
    clock,
    url,
    caCertificate: authority,
    folder,
    token: async (user) => users.token(user),
    kubeconfig: ({ user = ADMIN, namespace } = {}) =>
      writeKubeconfig(folder, { url, caCertificate: authority, token: users.token(user), user, namespace }),
    async client(user = ADMIN) {
      const client = connect({ url, caCertificate: authority, token: users.token(user) });
      clients.push(client);
      return client;
    },
    letTimePass: async (milliseconds) => ageRecords(store, milliseconds),
    async stop() {
      if (stopping.signal.aborted) return;
      stopping.abort();
      writeEvents.close();
      admissionEvents.close();
      watches.cut();
      await server.goAway();
      caller.close();
      for (const client of clients) client.close();
      await rm(folder, { recursive: true, force: true });
    },
    faults: {
      goAway: server.goAway,
      comeBack: server.comeBack,
      cutWatches: watches.cut,
      silenceWatches: watches.silence,
      compact: store.compact,
      failRequests: faultRules.add,
    },
    traffic,
    openWatches: watches.open,
    onWrite: writeEvents.on,
    waitForWrite: writeEvents.next,
    onAdmission: admissionEvents.on,
    waitForAdmission: admissionEvents.next,
    seed(objects) {
      for (const object of objects) stored(object);
    },
  };
}

/** As on a real cluster, whose clock nobody turns: Helm's records are stored with older times. */
function ageRecords(store: Store, milliseconds: number): void {
  const older = (time: string) => timestamp(Date.parse(time) - milliseconds);
  for (const plural of ['secrets', 'configmaps']) {
    const resource = keyOf({ group: '', plural });
    for (const record of [...store.list(resource)]) {
      const { labels, creationTimestamp, managedFields } = record.metadata;
      if (labels?.owner !== 'helm') continue;
      const metadata = {
        ...record.metadata,
        creationTimestamp: older(creationTimestamp),
        ...(managedFields && {
          managedFields: managedFields.map((entry) => ({ ...entry, time: older(entry.time) })),
        }),
      };
      store.replace(resource, { ...record, metadata });
    }
  }
}

function nowhere({ namespace, name }: { namespace: string; name: string }): never {
  throw new Error(`service ${namespace}/${name} cannot be resolved: the option resolveService is not given`);
}

/** One pair for all clusters of a process: making RSA keys would be most of the time that a start takes. */
let certificates: ReturnType<typeof issueCertificates> | undefined;

async function issueCertificates() {
  const validity = { validDays: 1, now: new Date() };
  const authority = await issueAuthority({ commonName: 'embedded cluster', ...validity });
  const hosts = ['127.0.0.1', 'localhost', 'kubernetes.default.svc'];
  return {
    authority: authority.certificate,
    certificate: await issueServingCertificate(authority, { hosts, ...validity }),
  };
}

function namespace(name: string): KubernetesObject {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name } };
}

function withIdentity(object: KubernetesObject, creationTimestamp: string): StoredObject {
  const metadata = {
    name: '',
    uid: randomUUID(),
    resourceVersion: '',
    creationTimestamp,
    ...object.metadata,
  };
  return { ...object, metadata };
}

/**
 * The real thing for tests: etcd, kube-apiserver and two controllers, on the loopback, in a folder that goes at the
 * end. Nobody but alice, bob and carol may do anything until a test grants it.
 *
 *   const cluster = await startControlPlane();               // seconds; minutes when it must be built first
 *   const admin = await cluster.client();
 *   await admin.createNamespace('prod');
 *   await cluster.stop();
 *
 * Beyond the `Cluster` interface: `etcd`, `auditLog`, `version`, and `empty`, which makes it as new for the next test.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import type { GoOptions } from '../../tools/go.ts';
import { type ApiClient, connect } from '../client.ts';
import type { Cluster, KubeconfigOptions, User } from '../cluster.ts';
import { writeKubeconfig } from '../kubeconfig.ts';
import { age } from './age.ts';
import { customResourcesAreServed } from './custom-resources.ts';
import { deletableCollections, isBuiltIn } from './discovery.ts';
import { empty, KEPT } from './empty.ts';
import { controlPlaneProgram } from './programs.ts';
import { serviceAccountToken } from './service-accounts.ts';

/** As main.go prints it: enough for any process of this machine to use it. */
export interface RunningControlPlane {
  readonly url: string;
  readonly version: string;
  readonly caCertificate: string;
  readonly folder: string;
  readonly etcd: string;
  readonly tokens: Readonly<Record<string, string>>;
}

export interface ControlPlane extends Cluster {
  /** Of the API server, such as `v1.37.2`. */
  readonly version: string;
  /** URL of the etcd behind it: what is written there passes all checks. */
  readonly etcd: string;
  /** The path of a file with one audit event a line. */
  readonly auditLog: string;
  /** Takes away everything that tests made, but for namespaces, which are emptied. */
  empty(): Promise<void>;
}

/** They may do everything, like most people who run Helm by hand. */
const ADMINISTRATORS = ['alice', 'bob', 'carol'] as const;

/** The API server reads its static users once, at its start, so all of them are listed here. */
const OTHERS = ['mallory', 'pipeline', 'runner'] as const;

const GROUP = 'administrators';

const ADMIN: User = { username: 'admin' };

export interface StartedControlPlane extends ControlPlane {
  readonly running: RunningControlPlane;
  /**
   * Ends the API server as an upgrade does (SIGTERM), and starts it again at the same address. Resolves when it serves all that
   * it did. Watches end, and whoever calls meanwhile waits or is refused.
   */
  restartApiServer(): Promise<void>;
}

/** `stop` ends it. @throws GoIsMissing, or an Error with the end of the log, when it does not start */
export async function startControlPlane(options: GoOptions = {}): Promise<StartedControlPlane> {
  const { program, args } = await controlPlaneProgram(options);
  const users = [...ADMINISTRATORS.map((name) => `${name}=${GROUP}`), ...OTHERS];
  const child = spawn(program, [...args, '-while-stdin', ...users.flatMap((user) => ['-user', user])], {
    stdio: ['pipe', 'pipe', 'pipe'],
    // A quarter more memory for up to a quarter less of its time at the start.
    env: { GOGC: '400', ...(options.env ?? process.env) },
    // A Ctrl-C reaches every process of the terminal; this one is to outlive the tests that it serves.
    detached: true,
  });
  const nextLine = linesOf(child);
  const running = JSON.parse(await nextLine('did not start')) as RunningControlPlane;
  const cluster = await useControlPlane(running);
  const admin = await cluster.client();
  await makeAdministrators(admin);
  return {
    ...cluster,
    running,
    async restartApiServer() {
      child.kill('SIGHUP');
      await nextLine('did not start its API server again');
      await customResourcesAreServed(admin);
    },
    async stop() {
      child.stdin.end();
      await cluster.stop();
      await ended(child);
    },
  };
}

/** One that another process has started, and will end: `stop` only lets go of it. */
export async function useControlPlane(running: RunningControlPlane): Promise<ControlPlane> {
  const { url, caCertificate, folder, version, etcd } = running;
  const clients: ApiClient[] = [];

  async function token(user: User): Promise<string> {
    const { username } = user;
    const known = running.tokens[username];
    if (known !== undefined) return known;
    if (username.startsWith('system:serviceaccount:')) return serviceAccountToken(admin, user);
    throw new Error(`${username} is no user of the real cluster: list it, or make it a service account`);
  }
  async function client(user: User = ADMIN): Promise<ApiClient> {
    const connected = connect({ url, caCertificate, token: await token(user) });
    clients.push(connected);
    return connected;
  }
  const admin = await client();
  const everything = await deletableCollections(admin, isBuiltIn);

  return {
    url,
    caCertificate,
    folder,
    version,
    etcd,
    auditLog: join(folder, 'audit.log'),
    token,
    client,
    kubeconfig: async ({ user = ADMIN, namespace }: KubeconfigOptions = {}) =>
      writeKubeconfig(folder, { url, caCertificate, token: await token(user), user, namespace }),
    letTimePass: (milliseconds) => age(admin, etcd, milliseconds),
    empty: () => empty(admin, everything),
    async stop() {
      for (const each of clients) each.close();
    },
  };
}

async function makeAdministrators(admin: ApiClient): Promise<void> {
  await admin.create('/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
    metadata: { name: GROUP, labels: KEPT },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
    subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'Group', name: GROUP }],
  });
  while (!(await mayDoEverything(admin, GROUP)));
}

/** An API server hears of a new binding some milliseconds after it has stored it. */
async function mayDoEverything(admin: ApiClient, group: string): Promise<boolean> {
  const review = await admin.create('/apis/authorization.k8s.io/v1/subjectaccessreviews', {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SubjectAccessReview',
    spec: { groups: [group], resourceAttributes: { group: '*', resource: '*', verb: '*' } },
  });
  return (review as unknown as { status: { allowed: boolean } }).status.allowed;
}

type Child = ReturnType<typeof spawn> & { stdin: NodeJS.WritableStream; stdout: Readable; stderr: Readable };

/** The next line of its output. @throws Error with what it wrote to standard error when it ends instead */
function linesOf(child: Child): (otherwise: string) => Promise<string> {
  const complaint = text(child.stderr);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return async (otherwise) => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`the control plane ${otherwise}: ${await complaint}`);
    return value;
  };
}

function ended(child: Child): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => child.once('exit', () => resolve()));
}

/** The chart's life on a real cluster, by old and new Helms: it is installed, upgraded, tested, and leaves nothing. */
import t from 'tap';
import { MANIFEST } from '../../deploy/render.ts';
import type { ApiClient } from '../clusters/client.ts';
import type { StoredObject } from '../clusters/kubernetes-object.ts';
import { chart } from '../support/chart.ts';
import { GATE_WEBHOOKS_PATH, gateWebhook } from '../support/gate-webhook.ts';
import { startServiceOn } from '../support/lockkeeper.ts';
import { apply } from '../support/manifests.ts';
import { serving } from '../support/serving.ts';
import { until } from '../support/until.ts';
import { arm, CONFIGURATION_PATH, chartWorld, everything, playKubelet } from './chart-world.ts';

interface Webhook {
  readonly name: string;
  readonly rules?: readonly { readonly operations: readonly string[] }[];
  readonly clientConfig: {
    readonly caBundle?: string;
    readonly url?: string;
    readonly service?: { readonly path?: string };
  };
  readonly failurePolicy: string;
  readonly timeoutSeconds: number;
}

async function webhooks(admin: ApiClient): Promise<readonly Webhook[]> {
  return (await admin.get(CONFIGURATION_PATH)).webhooks as readonly Webhook[];
}

const FENCES =
  '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies?labelSelector=app.kubernetes.io/name';

/** What Kubernetes' own client notes on a busy machine (`I1123 …`) is no complaint of Helm's. */
const QUIET = /^([IW]\d{4} .*\n)*$/;

const SUCCESS = { code: 0, stderr: QUIET };

const CA_BUNDLE = Buffer.from(serving.caCertificate).toString('base64');

/** What Lockkeeper writes. */
const OURS = ['CREATE', 'DELETE'].map((operation) => ({
  rules: [{ operations: [operation], resources: ['secrets', 'configmaps'] }],
  clientConfig: { caBundle: /^[\w+/=]{100}/ },
}));

/** Whoever deploys to prod, as an API server sees it. */
function deploy(admin: ApiClient, release = 'api') {
  return admin.request<{ message?: string }>('POST', '/api/v1/namespaces/prod/secrets?dryRun=All', {
    metadata: {
      name: `sh.helm.release.v1.${release}.v1`,
      labels: { owner: 'helm', status: 'pending-install' },
    },
    type: 'helm.sh/release.v1',
  });
}

/** What happened since a version, in short: `DELETED Service lockkeeper`; of webhooks, whether they had rules. */
async function happened(admin: ApiClient, since: string): Promise<readonly string[]> {
  // Deletions have a version, too; it is that of the object in the event.
  const found: { readonly at: number; readonly what: string }[] = [];
  const paths = [GATE_WEBHOOKS_PATH, '/api/v1/services', '/apis/apps/v1/deployments'];
  await Promise.all(
    paths.map(async (path) => {
      const query = `watch=true&timeoutSeconds=1&resourceVersion=${since}`;
      for await (const { type, object } of admin.watch(`${path}?${query}`)) {
        const { kind, webhooks, metadata } = object as StoredObject & { webhooks?: readonly Webhook[] };
        const rules = webhooks && (webhooks.some(({ rules }) => rules) ? ' with rules' : ' without rules');
        found.push({ at: Number(metadata.resourceVersion), what: `${type} ${kind}${rules ?? ''}` });
      }
    }),
  );
  return found.sort((a, b) => a.at - b.at).map(({ what }) => what);
}

/** The oldest and the newest that npm brings; 3.8.0, 3.17.3, 3.22.0 and 4.3.1 did the same when it was tried. */
for (const version of ['3.9.4', '4.1.4'] as const) {
  t.test(`installed, upgraded, tested and uninstalled by Helm ${version}`, async (t) => {
    const w = await chartWorld(t);
    const { admin, cluster } = w;
    const before = await everything(admin);

    const installed = await w.helm(version, 'install', {});
    t.match(installed, SUCCESS);
    t.match(installed.stdout, /helm test lockkeeper -n lockkeeper\n/, 'the notes tell how to try it');
    t.match(
      installed.stdout,
      /kubectl delete validatingwebhookconfiguration lockkeeper\n/,
      'and where the exit is',
    );
    t.equal((await deploy(admin)).code, 201, 'everybody deploys while no replica is ready');

    const { service } = await startServiceOn(t, cluster, {
      drivers: ['secrets'],
      webhookConfiguration: 'lockkeeper',
    });
    const url = `https://127.0.0.1:${service.port}/admission`;
    const outside = { replicas: 0, test: { patienceSeconds: 5 }, webhook: { url } };
    t.match(await w.helm(version, 'upgrade', outside), SUCCESS);
    while (!(await webhooks(admin)).every(({ rules }) => rules));
    const armed = await webhooks(admin);
    t.match(armed, OURS, 'Lockkeeper arms it');

    const changed = { ...outside, fence: { enabled: false }, webhook: { url, timeoutSeconds: 20 } };
    t.match(await w.helm(version, 'upgrade', changed), SUCCESS);
    const [gate, guard] = await webhooks(admin);
    t.same(
      [gate, guard],
      [{ ...armed[0], timeoutSeconds: 20 }, armed[1]],
      'an upgrade changes what is Helm’s',
    );
    t.same(await admin.list(FENCES), [], 'and takes away what is not wanted any more');

    const kubelet = playKubelet(w, 'lockkeeper-self-test');
    t.match(await w.helm(version, 'test'), { code: 0, stdout: /Phase: +Succeeded/ });
    t.match(
      await kubelet,
      /denied the request: release default\/lockkeeper-self-test is locked by .*\nPASSED/s,
    );

    const { metadata } = await admin.get(CONFIGURATION_PATH);
    t.match(await w.helm(version, 'uninstall'), SUCCESS);
    const all = await happened(admin, metadata.resourceVersion);
    const ofWebhooks = all.filter((what) => what.includes('Webhook'));
    t.match(
      ofWebhooks,
      [/^DELETED .* with rules$/, /^ADDED .* without rules$/],
      'the gate makes way for one without rules',
    );
    t.match(ofWebhooks.at(-1), /^DELETED/, 'which goes as well');
    const rest = all.slice(ofWebhooks.length).sort();
    t.same(rest, ['DELETED Deployment', 'DELETED Service'], 'and only then, who answers it');
    t.same(await everything(admin), before, 'nothing is left');
  });
}

for (const version of ['3.9.4', '4.1.4'] as const) {
  t.test(`Lockkeeper writes a secret path, and Helm ${version} leaves it there`, async (t) => {
    const w = await chartWorld(t);
    const { admin, cluster } = w;
    const before = await everything(admin);
    t.match(await w.helm(version, 'install', {}), SUCCESS);
    const secret = { webhook: { path: '' } };
    t.match(await w.helm(version, 'upgrade', secret), SUCCESS);
    t.notMatch(await webhooks(admin), [{ clientConfig: { service: { path: '/admission' } } }]);

    const { service } = await startServiceOn(t, cluster, {
      drivers: ['secrets'],
      webhookConfiguration: 'lockkeeper',
      admission: { path: undefined, tokenSeconds: 86_400 },
    });
    const isSecret = ({ rules, clientConfig }: Webhook) =>
      rules !== undefined && /^\/admission\/[0-9a-f]{32}$/.test(clientConfig.service?.path ?? '');
    const told = await until(
      () => webhooks(admin),
      (found) => found.every(isSecret),
    );
    const changed = { ...secret, webhook: { path: '', timeoutSeconds: 20 } };
    t.match(await w.helm(version, 'upgrade', changed), SUCCESS);
    const [gate, ...others] = told;
    t.same(await webhooks(admin), [{ ...gate, timeoutSeconds: 20 }, ...others], 'but for what is Helm’s');
    await service.close();
    t.match(await w.helm(version, 'uninstall'), SUCCESS);
    t.same(await everything(admin), before, 'nothing is left');
  });
}

t.test('the emergency exit, and a gate that Helm itself arms', async (t) => {
  const version = '4.1.4';
  const { admin, helm } = await chartWorld(t);
  const before = await everything(admin);
  t.match(await helm(version, 'install', {}), SUCCESS);
  await arm(admin);
  while ((await deploy(admin)).code === 201);
  t.match(await deploy(admin), { code: 500 }, 'nobody answers, so nobody can deploy');
  await admin.remove(CONFIGURATION_PATH);
  while ((await deploy(admin)).code !== 201);
  t.pass('without the configuration everybody can');

  t.match(await helm(version, 'upgrade', {}), SUCCESS);
  t.match(await webhooks(admin), [{ rules: undefined }, { rules: undefined }], 'an upgrade puts it back');
  await arm(admin);
  t.match(await helm(version, 'upgrade', { webhook: { arm: 'always' } }), SUCCESS);
  t.match(await webhooks(admin), OURS, 'Helm says what Lockkeeper has said');
  t.match(await helm(version, 'upgrade', {}), SUCCESS);
  t.match(await webhooks(admin), [{ clientConfig: { caBundle: CA_BUNDLE } }, {}], 'whom to trust stays');
  t.match(await helm(version, 'uninstall'), SUCCESS);
  t.same(await everything(admin), before, 'nothing is left');
});

t.test('helm test fails, in words, when the gate is not armed', async (t) => {
  const w = await chartWorld(t);
  const before = await everything(w.admin);
  t.match(await w.helm('3.17.3', 'install', { test: { patienceSeconds: 0 } }), SUCCESS);
  const kubelet = playKubelet(w, 'lockkeeper-self-test');
  t.match(await w.helm('3.17.3', 'test'), { code: 1, stdout: /Phase: +Failed/ });
  t.match(await kubelet, /FAILED: two deploys of one release can run at once/);
  t.same(await w.admin.list('/api/v1/namespaces/default/secrets'), [], 'and leaves no record');
  t.match(await w.helm('3.17.3', 'uninstall'), SUCCESS);
  const left = (await everything(w.admin)).filter((name) => !before.includes(name));
  t.same(left, ['/api/v1/pods lockkeeper/lockkeeper-self-test'], 'but for its pod, whose log is to be read');
});

t.test('a webhook without rules is asked about nothing, and one with rules about its own', async (t) => {
  const { admin } = await chartWorld(t);
  const configuration = gateWebhook({ url: 'https://127.0.0.1:1', caCertificate: serving.caCertificate });
  const disarmed = configuration.webhooks.map(({ rules: _, ...webhook }) => webhook);
  await admin.create(GATE_WEBHOOKS_PATH, { ...configuration, webhooks: disarmed });
  // The API server hears of configurations in their order: once it heeds this one, it knows that one, too.
  const expression = "object.metadata.name.contains('.sentinel.')";
  const sentinel = { name: 'sentinel.lockkeeper.dev', matchConditions: [{ name: 'is-it', expression }] };
  await admin.create(GATE_WEBHOOKS_PATH, {
    ...configuration,
    metadata: { name: 'sentinel' },
    webhooks: configuration.webhooks.slice(0, 1).map((webhook) => ({ ...webhook, ...sentinel })),
  });
  while ((await deploy(admin, 'sentinel')).code === 201);
  t.equal((await deploy(admin)).code, 201, 'without rules');
  await arm(admin);
  while ((await deploy(admin)).code === 201);
  t.match(
    (await deploy(admin)).body,
    { message: /failed calling webhook "gate\.lockkeeper\.dev"/ },
    'with them',
  );
});

t.test('every pod of the chart is restricted', async (t) => {
  const { admin } = await chartWorld(t);
  const create = (pod: object) =>
    admin.request<{ message?: string }>('POST', '/api/v1/namespaces/lockkeeper/pods?dryRun=All', pod);
  const tls = { mode: 'existingSecret', existingSecret: 'mine' };
  for (const values of [{}, { tls, webhook: { caBundle: CA_BUNDLE } }]) {
    const { objects, one } = await chart(values);
    await apply(
      admin,
      objects.filter(({ kind }) => kind === 'ServiceAccount'),
    );
    const { template } = one('Deployment').spec as { template: object };
    const selfTest = objects.filter(({ kind }) => kind === 'Pod');
    t.equal(selfTest.length, 1);
    for (const pod of [{ metadata: { name: 'pod' }, ...template }, ...selfTest]) {
      const { code, body } = await create({ ...pod, metadata: { name: 'pod' } });
      t.match({ code, body }, { code: 201 });
    }
  }
  const { code, body } = await create({
    metadata: { name: 'pod' },
    spec: { serviceAccountName: 'lockkeeper', containers: [{ name: 'any', image: 'any' }] },
  });
  t.match(
    { code, body },
    { code: 403, body: { message: /violates PodSecurity "restricted/ } },
    'others are not let in',
  );
});

t.test('deploy/lockkeeper.yaml is applied, applied again, and deleted, by kubectl', async (t) => {
  const { admin, kubectl } = await chartWorld(t);
  const created = await kubectl('apply', '--server-side', '-f', MANIFEST);
  t.match(created, { code: 0, stdout: /deployment\.apps\/lockkeeper serverside-applied\n/, stderr: QUIET });
  await arm(admin);
  for (const options of [['--server-side'], []]) {
    // The second one warns that kubectl has not applied it in this way before.
    t.match(await kubectl('apply', ...options, '-f', MANIFEST), { code: 0 });
    t.match(await webhooks(admin), OURS, 'what is Lockkeeper’s stays');
  }
  t.match(await kubectl('delete', 'validatingwebhookconfiguration', 'lockkeeper'), SUCCESS);
  t.match(await kubectl('delete', '-f', MANIFEST, '--ignore-not-found'), SUCCESS);
  t.same(
    (await everything(admin)).filter((name) => name.includes('lockkeeper')),
    [],
    'nothing is left',
  );
});

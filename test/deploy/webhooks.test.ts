/** What tells the API server to ask Lockkeeper, and what an uninstall does about it. */
import t from 'tap';
import { chart } from '../support/chart.ts';
import { gateWebhook } from '../support/gate-webhook.ts';

interface Webhook {
  readonly name: string;
  readonly clientConfig: object;
  readonly rules?: unknown;
  readonly namespaceSelector?: { readonly matchExpressions: readonly object[] };
}

type Configuration = { readonly metadata: object; readonly webhooks: readonly Webhook[] };

const KIND = 'ValidatingWebhookConfiguration';

const PEM = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';

const BASE64 = Buffer.from(PEM).toString('base64');

async function configuration(values: object = {}): Promise<Configuration> {
  return (await chart(values)).one(KIND) as unknown as Configuration;
}

t.test('by default it asks nobody: Lockkeeper adds the rules, and whom to trust', async (t) => {
  const { webhooks } = await configuration();
  t.same(
    webhooks.map(({ name }) => name),
    ['gate.lockkeeper.dev', 'guard.lockkeeper.dev', 'updates.lockkeeper.dev', 'releaselocks.lockkeeper.dev'],
  );
  for (const { name, rules, clientConfig } of webhooks) {
    t.equal(rules, undefined, name);
    t.same(
      clientConfig,
      { service: { namespace: 'lockkeeper', name: 'lockkeeper', path: '/admission', port: 8443 } },
      name,
    );
  }
});

t.test('always armed, and called by a URL, it is what the tests install', async (t) => {
  const url = 'https://10.0.0.5:8443';
  const armed = await configuration({
    webhook: {
      arm: 'always',
      url: `${url}/admission`,
      caBundle: PEM,
      failurePolicy: 'Ignore',
      timeoutSeconds: 7,
    },
  });
  const ours = gateWebhook({ url, caCertificate: PEM, failurePolicy: 'Ignore', timeoutSeconds: 7 });
  t.same(armed, ours);
});

t.test('it is not asked about kube-system, its own namespace, and others that are named', async (t) => {
  const { webhooks } = await configuration({
    webhook: {
      excludedNamespaces: ['sandbox'],
      namespaceSelector: {
        matchLabels: { tier: 'one' },
        matchExpressions: [{ key: 'team', operator: 'Exists' }],
      },
    },
  });
  for (const { name, namespaceSelector } of webhooks) {
    const isDoor = name === 'releaselocks.lockkeeper.dev';
    if (isDoor) t.equal(namespaceSelector, undefined, 'but every lock has a door');
    else
      t.same(
        namespaceSelector,
        {
          matchLabels: { tier: 'one' },
          matchExpressions: [
            {
              key: 'kubernetes.io/metadata.name',
              operator: 'NotIn',
              values: ['kube-system', 'lockkeeper', 'sandbox'],
            },
            { key: 'team', operator: 'Exists' },
          ],
        },
        name,
      );
  }
});

t.test('whom to trust may be PEM, or base64 of it', async (t) => {
  for (const caBundle of [PEM, PEM.trim(), BASE64, `${BASE64}\n`]) {
    const { webhooks } = await configuration({
      tls: { mode: 'existingSecret', existingSecret: 'mine' },
      webhook: { caBundle },
    });
    for (const { clientConfig } of webhooks) t.match(clientConfig, { caBundle: BASE64 });
  }
});

t.test('cert-manager issues the certificate, and writes whom to trust', async (t) => {
  const issuerRef = { name: 'ca', kind: 'ClusterIssuer', group: 'cert-manager.io' };
  const rendered = await chart({ tls: { mode: 'certManager', certManager: { issuerRef } } });
  t.match(rendered.one('Certificate').spec, {
    secretName: 'lockkeeper-tls',
    duration: '2160h',
    issuerRef,
    dnsNames: ['lockkeeper.lockkeeper.svc'],
  });
  t.match(rendered.one(KIND).metadata.annotations, {
    'cert-manager.io/inject-ca-from': 'lockkeeper/lockkeeper',
  });
  t.match(rendered.one('Deployment').spec, filesOf('lockkeeper-tls'));
});

t.test('a Secret of one’s own is mounted, and Lockkeeper told where', async (t) => {
  const tls = { mode: 'existingSecret', existingSecret: 'mine' };
  for (const [arm, kept] of [
    ['whenReady', 'lockkeeper'],
    ['always', ''],
  ] as const) {
    const rendered = await chart({ tls, webhook: { arm, caBundle: PEM } });
    const { spec } = rendered.one('Deployment');
    t.match(spec, filesOf('mine'));
    t.match(JSON.stringify(spec), `{"name":"LOCKKEEPER_WEBHOOK_CONFIGURATION","value":"${kept}"}`);
    t.match(
      JSON.stringify(spec),
      '{"name":"LOCKKEEPER_TLS_CERT_FILE","value":"/etc/lockkeeper/tls/tls.crt"}',
    );
    t.match(JSON.stringify(spec), '{"name":"LOCKKEEPER_TLS_KEY_FILE","value":"/etc/lockkeeper/tls/tls.key"}');
    t.notMatch(JSON.stringify(spec), 'LOCKKEEPER_TLS_SECRET');
  }
});

function filesOf(secretName: string) {
  return {
    template: {
      spec: {
        volumes: [{ name: 'tls', secret: { secretName } }],
        containers: [{ volumeMounts: [{ name: 'tls', mountPath: '/etc/lockkeeper/tls', readOnly: true }] }],
      },
    },
  };
}

t.test(
  'before an uninstall, what is armed makes way for what has no rules, and is as good otherwise',
  async (t) => {
    for (const values of [{}, { webhook: { arm: 'always' } }]) {
      const rendered = await chart(values);
      const [hook, ...others] = rendered.hooks('pre-delete') as unknown as Configuration[];
      const { webhooks } = rendered.one(KIND) as unknown as Configuration;
      t.same(others, []);
      t.match(hook, {
        kind: KIND,
        metadata: {
          name: 'lockkeeper',
          annotations: { 'helm.sh/hook-delete-policy': 'before-hook-creation,hook-succeeded' },
        },
      });
      t.same(
        hook?.webhooks,
        webhooks.map(({ rules: _, ...rest }) => rest),
      );
    }
  },
);

t.test('after an uninstall, the Secret goes that was made for it, and yours stays', async (t) => {
  const certManager = { issuerRef: { name: 'ca' } };
  for (const [values, names] of [
    [{}, ['lockkeeper-ca']],
    [{ tls: { authoritySecret: 'my-authority' } }, ['my-authority']],
    [{ fullnameOverride: 'keeper' }, ['keeper-ca']],
    [{ tls: { mode: 'certManager', certManager } }, ['lockkeeper-tls']],
    [{ tls: { mode: 'existingSecret', existingSecret: 'mine' }, webhook: { caBundle: PEM } }, []],
  ] as const) {
    const hooks = (await chart({ ...values, test: { enabled: false } })).hooks('post-delete');
    t.same(
      hooks.map(({ kind, metadata: { namespace, name } }) => ({ kind, namespace, name })),
      names.map((name) => ({ kind: 'Secret', namespace: 'lockkeeper', name })),
    );
  }
});

t.test('a URL may be given with the path of the webhook, or without', async (t) => {
  for (const url of ['https://10.0.0.5:8443', 'https://10.0.0.5:8443/', 'https://10.0.0.5:8443/admission']) {
    const { one } = await chart({ webhook: { url } });
    const { webhooks } = one('ValidatingWebhookConfiguration');
    t.match(webhooks, Array(3).fill({ clientConfig: { url: 'https://10.0.0.5:8443/admission' } }), url);
  }
});

/** What Lockkeeper adds to its webhook configuration, and what it leaves to others. */
import t from 'tap';
import type { Webhook, WebhookConfiguration } from '../../src/kubernetes/webhook-configurations.ts';
import { isArmed, type PathToTell, pathsOf, RULES, trusts, whatToApply } from '../../src/webhook/arm.ts';
import { gateWebhook } from '../support/gate-webhook.ts';

const OLD = '-----BEGIN CERTIFICATE-----\r\nold\r\n-----END CERTIFICATE-----\n';
const NEW = '-----BEGIN CERTIFICATE-----\r\nnew\r\n-----END CERTIFICATE-----\n';

const base64 = (text: string) => Buffer.from(text).toString('base64');

const metadata = { name: 'lockkeeper', uid: 'u1', resourceVersion: '7' };
const url = 'https://10.0.0.1:8443/admission';
const service = { name: 'lockkeeper', namespace: 'lockkeeper', path: '/admission' };

const CREATE = RULES['gate.lockkeeper.dev'];
const DELETE = RULES['guard.lockkeeper.dev'];
const UPDATE = RULES['updates.lockkeeper.dev'];
const ENTRIES = RULES['releaselocks.lockkeeper.dev'];
const others = [{ ...CREATE[0], resources: ['secrets'] }];

const GATE = 'gate.lockkeeper.dev';
const GUARD = 'guard.lockkeeper.dev';

type Given = Omit<Webhook, 'name' | 'clientConfig'> & { readonly clientConfig?: object };

/** Our two webhooks, with these fields. */
function configuration(gate: Given, guard: Given = gate, more: readonly Webhook[] = []) {
  return { metadata, webhooks: [webhook(GATE, gate), webhook(GUARD, guard), ...more] };
}

function webhook(name: string, { clientConfig = { service }, ...rest }: Given): Webhook {
  return { name, clientConfig, ...rest };
}

t.test('the rules are those of the webhooks that everything was tried with', async (t) => {
  const { webhooks } = gateWebhook({ url, caCertificate: OLD });
  t.strictSame(
    webhooks.map(({ rules }) => rules),
    [CREATE, DELETE, UPDATE, ENTRIES],
  );
});

const trusting = (bundle: string) => ({ clientConfig: { service, caBundle: base64(bundle) } });
const applied = (bundle: string) => ({ clientConfig: { caBundle: base64(bundle) } });

const bare = { name: 'lockkeeper', namespace: 'lockkeeper' };
const SECRET = { wanted: '/admission/secret', alsoFine: [] };
const atSecret = {
  clientConfig: { service: { ...service, path: '/admission/secret' }, caBundle: base64(NEW) },
};
const told = (bundle: string) => ({
  clientConfig: { caBundle: base64(bundle), service: { path: '/admission/secret' } },
});

/** `applied` is what is said of the gate and the guard; undefined is nothing at all. */
const ROWS: readonly {
  readonly given: string;
  readonly webhooks: WebhookConfiguration;
  readonly bundle?: string;
  readonly path?: PathToTell;
  /** Default: the Service has found this replica. */
  readonly isSettled?: boolean;
  readonly applied: readonly [gate: object, guard: object] | undefined;
}[] = [
  {
    given: 'no rules and no bundle, as the chart installs it',
    webhooks: configuration({}),
    bundle: NEW,
    applied: [
      { ...applied(NEW), rules: CREATE },
      { ...applied(NEW), rules: DELETE },
    ],
  },
  {
    given: 'an empty list of rules',
    webhooks: configuration({ rules: [] }),
    bundle: NEW,
    applied: [
      { ...applied(NEW), rules: CREATE },
      { ...applied(NEW), rules: DELETE },
    ],
  },
  {
    given: 'no rules, and a Service that does not lead here yet: the bundle comes first',
    webhooks: configuration({}),
    bundle: NEW,
    isSettled: false,
    applied: [applied(NEW), applied(NEW)],
  },
  {
    given: 'no rules, and a URL, which leads here at once',
    webhooks: configuration({ clientConfig: { url } }),
    bundle: NEW,
    isSettled: false,
    applied: [
      { ...applied(NEW), rules: CREATE },
      { ...applied(NEW), rules: DELETE },
    ],
  },
  {
    given: 'all as it should be',
    webhooks: configuration({ ...trusting(NEW), rules: CREATE }, { ...trusting(NEW), rules: DELETE }),
    bundle: NEW,
    applied: undefined,
  },
  {
    given: 'all as it should be, and a Service that does not lead here: another replica has armed it',
    webhooks: configuration({ ...trusting(NEW), rules: CREATE }, { ...trusting(NEW), rules: DELETE }),
    bundle: NEW,
    isSettled: false,
    applied: undefined,
  },
  {
    given: 'another bundle: the rules are said again, or they would be given up',
    webhooks: configuration({ ...trusting(OLD), rules: CREATE }, { ...trusting(OLD), rules: DELETE }),
    bundle: NEW,
    isSettled: false,
    applied: [
      { ...applied(NEW), rules: CREATE },
      { ...applied(NEW), rules: DELETE },
    ],
  },
  {
    given: 'a bundle that carries more than ours',
    webhooks: configuration({ ...trusting(NEW + OLD), rules: CREATE }, { ...trusting(NEW), rules: DELETE }),
    bundle: NEW,
    applied: [
      { ...applied(NEW), rules: CREATE },
      { ...applied(NEW), rules: DELETE },
    ],
  },
  {
    given: 'rules of somebody else: they stay, and are told who to trust',
    webhooks: configuration({ rules: others }, { rules: DELETE }),
    bundle: NEW,
    applied: [applied(NEW), { ...applied(NEW), rules: DELETE }],
  },
  {
    given: 'rules of somebody else, and our bundle',
    webhooks: configuration({ ...trusting(NEW), rules: others }, { ...trusting(NEW), rules: DELETE }),
    bundle: NEW,
    applied: undefined,
  },
  {
    given: 'the rules of the guard taken away',
    webhooks: configuration({ ...trusting(NEW), rules: CREATE }, trusting(NEW)),
    bundle: NEW,
    applied: [
      { ...applied(NEW), rules: CREATE },
      { ...applied(NEW), rules: DELETE },
    ],
  },

  {
    given: 'files, and a caBundle that nobody has injected yet: API servers would trust nobody',
    webhooks: configuration({}),
    applied: undefined,
  },
  {
    given: 'files, and a caBundle that cert-manager has injected: it is not ours',
    webhooks: configuration(trusting(OLD)),
    applied: [{ rules: CREATE }, { rules: DELETE }],
  },
  {
    given: 'files, an injected caBundle, and a Service that does not lead here yet',
    webhooks: configuration(trusting(OLD)),
    isSettled: false,
    applied: undefined,
  },
  {
    given: 'files, and a caBundle in one of the two',
    webhooks: configuration(trusting(OLD), {}),
    applied: [{ rules: CREATE }, {}],
  },
  {
    given: 'files, and a URL: API servers know its authority by themselves',
    webhooks: configuration({ clientConfig: { url } }),
    isSettled: false,
    applied: [{ rules: CREATE }, { rules: DELETE }],
  },
  {
    given: 'files, and all as it should be',
    webhooks: configuration({ ...trusting(OLD), rules: CREATE }, { ...trusting(OLD), rules: DELETE }),
    applied: undefined,
  },
  {
    given: 'files, armed, and the caBundle gone: what stands, stands',
    webhooks: configuration({ rules: CREATE }, { rules: DELETE }),
    applied: undefined,
  },

  {
    given: 'a Service without a path, as the chart installs it',
    webhooks: configuration({ clientConfig: { service: bare } }),
    bundle: NEW,
    path: SECRET,
    isSettled: false,
    applied: [told(NEW), told(NEW)],
  },
  {
    given: 'the open path of 0.1, and rules: they are said again with the other path',
    webhooks: configuration({ ...trusting(NEW), rules: CREATE }, { ...trusting(NEW), rules: DELETE }),
    bundle: NEW,
    path: SECRET,
    applied: [
      { ...told(NEW), rules: CREATE },
      { ...told(NEW), rules: DELETE },
    ],
  },
  {
    given: 'the path in one of the two',
    webhooks: configuration({ ...atSecret, rules: CREATE }, { ...trusting(NEW), rules: DELETE }),
    bundle: NEW,
    path: SECRET,
    applied: [
      { ...told(NEW), rules: CREATE },
      { ...told(NEW), rules: DELETE },
    ],
  },
  {
    given: 'the path in both',
    webhooks: configuration({ ...atSecret, rules: CREATE }, { ...atSecret, rules: DELETE }),
    bundle: NEW,
    path: SECRET,
    applied: undefined,
  },
  {
    given: 'another bundle, and a path that may stay: each is said again as it is',
    webhooks: configuration(
      { clientConfig: { service: { ...service, path: '/admission/next' } }, rules: CREATE },
      { ...trusting(OLD), rules: DELETE },
    ),
    bundle: NEW,
    path: { wanted: '/admission/secret', alsoFine: ['/admission/next'] },
    applied: [
      { clientConfig: { caBundle: base64(NEW), service: { path: '/admission/next' } }, rules: CREATE },
      { ...told(NEW), rules: DELETE },
    ],
  },
  {
    given: 'a URL: its end is ours, and the rest stays',
    webhooks: configuration(
      { clientConfig: { url } },
      { clientConfig: { url: 'https://lb.example.com/lk' } },
    ),
    path: SECRET,
    isSettled: false,
    applied: [
      { clientConfig: { url: 'https://10.0.0.1:8443/admission/secret' }, rules: CREATE },
      { clientConfig: { url: 'https://lb.example.com/lk/admission/secret' }, rules: DELETE },
    ],
  },
  {
    given: 'a URL that ends so',
    webhooks: configuration(
      { clientConfig: { url: `${url}/secret` }, rules: CREATE },
      {
        clientConfig: { url: `${url}/secret` },
        rules: DELETE,
      },
    ),
    path: SECRET,
    applied: undefined,
  },
];

for (const { given, webhooks, bundle, path, isSettled = true, applied } of ROWS) {
  t.test(`given ${given}`, async (t) => {
    t.strictSame(
      whatToApply(webhooks, { bundle, path, isSettled }),
      applied && {
        metadata,
        webhooks: [
          { name: GATE, ...applied[0] },
          { name: GUARD, ...applied[1] },
        ],
      },
    );
  });
}

t.test('what was applied is as it should be', async (t) => {
  for (const { webhooks, bundle, path, isSettled = true, given } of ROWS) {
    const options = { bundle, path, isSettled };
    const wanted = whatToApply(webhooks, options);
    const merged = webhooks.webhooks?.map((webhook) => {
      const { clientConfig, ...rest } = wanted?.webhooks.find(({ name }) => name === webhook.name) ?? {};
      const service = { ...webhook.clientConfig.service, ...clientConfig?.service };
      const all = {
        ...webhook.clientConfig,
        ...clientConfig,
        ...(webhook.clientConfig.service && { service }),
      };
      return { ...webhook, ...rest, clientConfig: all };
    });
    t.equal(whatToApply({ metadata, webhooks: merged ?? [] }, options), undefined, given);
  }
});

t.test('webhooks of others in the same configuration are left alone', async (t) => {
  const foreign = webhook('audit.example.com', { clientConfig: { url: 'https://example.com' } });
  const options = { bundle: NEW, path: undefined, isSettled: true };
  t.strictSame(
    whatToApply(configuration({}, {}, [foreign]), options)?.webhooks.map(({ name }) => name),
    [GATE, GUARD],
  );
  t.equal(whatToApply({ metadata, webhooks: [foreign] }, options), undefined);
  t.equal(whatToApply({ metadata, webhooks: [] }, options), undefined);
  t.equal(whatToApply({ metadata }, options), undefined);
});

t.test('a configuration with the gate alone: no guard is added', async (t) => {
  const gateAlone = { metadata, webhooks: [webhook(GATE, {})] };
  t.strictSame(whatToApply(gateAlone, { bundle: NEW, path: undefined, isSettled: true })?.webhooks, [
    { name: GATE, ...applied(NEW), rules: CREATE },
  ]);
});

t.test('an authority is trusted when each of our webhooks carries it', async (t) => {
  const rows: [given: string, WebhookConfiguration, boolean][] = [
    ['both carry it', configuration(trusting(NEW)), true],
    ['both carry more', configuration(trusting(OLD + NEW), trusting(NEW + OLD)), true],
    ['only the gate carries it', configuration(trusting(NEW), trusting(OLD)), false],
    ['nobody carries any', configuration({}), false],
    ['there is no webhook of ours', { metadata, webhooks: [webhook('a.example.com', trusting(NEW))] }, false],
    ['there is no webhook', { metadata }, false],
    [
      'one of somebody else does not carry it',
      configuration(trusting(NEW), trusting(NEW), [webhook('a.example.com', {})]),
      true,
    ],
  ];
  for (const [given, webhooks, expected] of rows) t.equal(trusts(webhooks, NEW), expected, given);
});

t.test('the paths of our webhooks, and whether they are asked', async (t) => {
  const foreign = webhook('audit.example.com', {
    rules: CREATE,
    clientConfig: { url: 'https://example.com/a' },
  });
  for (const [given, webhooks, paths, armed] of [
    ['nothing', { metadata }, [], false],
    ['somebody else', { metadata, webhooks: [foreign] }, [], false],
    [
      'a Service and a URL',
      configuration({}, { clientConfig: { url } }),
      ['/admission', '/admission'],
      false,
    ],
    ['one with rules', configuration({}, { rules: DELETE }, [foreign]), ['/admission', '/admission'], true],
    ['empty rules', configuration({ rules: [] }), ['/admission', '/admission'], false],
    ['another path', configuration(atSecret, {}), ['/admission/secret', '/admission'], false],
  ] as const) {
    t.strictSame(pathsOf(webhooks), paths, given);
    t.equal(isArmed(webhooks), armed, given);
  }
});

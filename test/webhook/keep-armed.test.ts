/** The webhook configuration is kept as it should be, whoever changes it; it is never made, and nobody is run down. */
import t, { type Test } from 'tap';
import type {
  AppliedWebhooks,
  Webhook,
  WebhookConfiguration,
} from '../../src/kubernetes/webhook-configurations.ts';
import type { PathChoice } from '../../src/webhook/choose-path.ts';
import { type KeepArmedOptions, keepArmed } from '../../src/webhook/keep-armed.ts';
import { testLog } from '../support/log.ts';
import { sleeper } from '../support/sleeper.ts';

const DAY = 86_400_000;
const SETTLED_MS = 15_000;

const [OLD, NEXT] = ['old', 'next'].map(
  (text) => `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----\n`,
) as [string, string];
const ARMED = 'brought the webhook configuration up to date';
const TROUBLE = 'the webhook configuration cannot be kept current';

const WEBHOOKS = ['gate.lockkeeper.dev', 'guard.lockkeeper.dev'];

interface Given {
  readonly isReady?: boolean;
  readonly bundle?: string | undefined;
  readonly clientConfig?: object;
  readonly isInstalled?: boolean;
  readonly choosePath?: KeepArmedOptions['choosePath'];
}

const OVERLAP_MS = 60_000;

function start(t: Test, given: Given = {}) {
  const { clock, asleep } = sleeper();
  const logs = testLog();
  const requests: string[] = [];
  const faults: (() => void)[] = [];
  const told: number[] = [];
  let pathsTold = 0;
  let version = 0;
  let stored: WebhookConfiguration | undefined;
  let isReady = given.isReady ?? true;
  let bundle = 'bundle' in given ? given.bundle : OLD;
  let armed: ReturnType<typeof keepArmed> | undefined;

  function put(webhooks: readonly Webhook[]): void {
    version += 1;
    stored = { metadata: { name: 'lockkeeper', uid: 'u1', resourceVersion: String(version) }, webhooks };
  }

  /** As the chart does. */
  function install(): void {
    put(WEBHOOKS.map((name) => ({ name, clientConfig: given.clientConfig ?? {} })));
  }
  if (given.isInstalled !== false) install();

  async function answer(request: string): Promise<void> {
    requests.push(request);
    faults.shift()?.();
  }

  armed = keepArmed({
    store: {
      name: 'ValidatingWebhookConfiguration/lockkeeper',
      async read() {
        await answer('read');
        return stored;
      },
      async apply({ metadata, webhooks }: AppliedWebhooks) {
        await answer('apply');
        if (!stored || metadata.resourceVersion !== stored.metadata.resourceVersion) return undefined;
        put(
          (stored.webhooks ?? []).map((webhook) => {
            const { clientConfig, ...rest } = webhooks.find(({ name }) => name === webhook.name) ?? {};
            const service = { ...webhook.clientConfig.service, ...clientConfig?.service };
            const all = { ...webhook.clientConfig, ...clientConfig };
            return { ...webhook, ...rest, clientConfig: clientConfig?.service ? { ...all, service } : all };
          }),
        );
        return stored;
      },
    },
    isReady: () => isReady,
    bundle: () => bundle,
    choosePath: given.choosePath ?? (async () => undefined),
    overlapMs: OVERLAP_MS,
    onPublished: () => told.push(clock.date()),
    onPaths: () => {
      pathsTold += 1;
    },
    clock,
    random: () => 1,
    log: logs.log,
  });
  t.teardown(() => armed?.stop());

  return {
    ...armed,
    clock,
    logs,
    requests,
    told,
    asleep,
    install,
    put,
    pathsTold: () => pathsTold,
    /** The next request fails so, or finds this done meanwhile. */
    next: (fault: () => void) => faults.push(fault),
    remove: () => {
      stored = undefined;
    },
    becomeReady: () => {
      isReady = true;
    },
    learn: (pem: string) => {
      bundle = pem;
    },
    webhooks: () => stored?.webhooks ?? [],
    /** It is woken, and has looked. */
    async woken(): Promise<void> {
      const sleeping = asleep();
      armed?.wake();
      await sleeping;
    },
    /** Time passes, and it has looked. */
    async pass(ms: number): Promise<void> {
      const sleeping = asleep();
      clock.advance(ms);
      await sleeping;
    },
    /** How often it has asked so since the last time. */
    asked(): string[] {
      return requests.splice(0);
    },
  };
}

type World = ReturnType<typeof start>;

const hasRules = ({ webhooks }: World) => webhooks().every(({ rules }) => rules?.length === 1);

const trusts = ({ webhooks }: World, pem: string) =>
  webhooks().every(
    ({ clientConfig: { caBundle = '' } }) => Buffer.from(caBundle, 'base64').toString() === pem,
  );

t.test('not ready, it asks the API server nothing', async (t) => {
  const world = start(t, { isReady: false });
  await world.asleep();
  for (let looks = 0; looks < 10; looks += 1) await world.pass(100);
  t.strictSame(world.asked(), []);
  world.becomeReady();
  await world.pass(100);
  t.strictSame(world.asked(), ['read', 'apply']);
});

t.test('behind a URL, it arms as soon as it is ready', async (t) => {
  const world = start(t, { clientConfig: { url: 'https://10.0.0.1:8443' } });
  await world.asleep();
  t.ok(hasRules(world) && trusts(world, OLD));
  t.match(await world.logs.line(ARMED), { configuration: 'ValidatingWebhookConfiguration/lockkeeper' });
});

t.test('behind a Service, it is trusted first, and armed 15 s after it was ready', async (t) => {
  const world = start(t);
  await world.asleep();
  t.ok(trusts(world, OLD));
  t.notOk(hasRules(world), 'the Service does not lead here yet');
  await world.woken();
  world.clock.advance(SETTLED_MS - 1);
  t.notOk(hasRules(world));
  await world.pass(1);
  t.ok(hasRules(world));
});

t.test('a year in which nothing happens costs a read every ten minutes', async (t) => {
  const world = start(t);
  await world.asleep();
  await world.pass(SETTLED_MS);
  world.asked();
  for (let day = 0; day < 365; day += 1) await world.pass(DAY);
  t.strictSame(world.asked(), Array(365).fill('read'), 'one for each time that it wakes up');
  world.clock.advance(599_999);
  t.equal(world.clock.timers(), 1);
});

t.test('what somebody takes away is put back when it is told of it', async (t) => {
  const world = start(t);
  await world.asleep();
  await world.pass(SETTLED_MS);
  world.clock.advance(60_000);
  world.install();
  await world.woken();
  t.ok(hasRules(world) && trusts(world, OLD), 'at once');
});

t.test(
  'somebody takes it away each time: they write ever more rarely, not as fast as they can',
  async (t) => {
    const world = start(t, { clientConfig: { url: 'https://10.0.0.1:8443' } });
    await world.asleep();
    world.asked();
    const applies: number[] = [];
    const begin = world.clock.now();
    while (world.clock.now() < begin + 600_000) {
      world.install();
      await world.woken();
      if (world.asked().includes('apply')) applies.push(world.clock.now() - begin);
      world.clock.advance(50);
    }
    t.ok(applies.length < 30, `${applies.length} times in ten minutes`);
    t.ok(applies.length > 10, 'it does not give up either');
    world.install();
    world.clock.advance(60_001);
    await world.woken();
    t.ok(hasRules(world) && trusts(world, OLD), 'the last word is ours');
  },
);

t.test('a configuration that is not there is not made, and armed when somebody makes it', async (t) => {
  const world = start(t, { isInstalled: false });
  await world.asleep();
  for (let looks = 0; looks < 5; looks += 1) await world.pass(DAY);
  t.notOk(world.asked().includes('apply'));
  world.install();
  await world.woken();
  t.ok(hasRules(world) && trusts(world, OLD));

  world.remove();
  world.asked();
  await world.woken();
  await world.pass(DAY);
  t.strictSame(world.asked(), ['read', 'read'], 'deleting it is the emergency exit');
  t.equal(world.publishedSince(OLD), undefined);
});

t.test(
  'somebody changes it while it is changed: it is read again, and nothing of theirs is lost',
  async (t) => {
    const world = start(t, { isReady: false, clientConfig: { url: 'https://10.0.0.1:8443' } });
    world.next(() => {});
    world.next(world.install);
    await world.asleep();
    world.becomeReady();
    await world.pass(100);
    t.notOk(hasRules(world));
    t.strictSame(world.asked(), ['read', 'apply']);
    world.clock.advance(99);
    t.strictSame(world.asked(), [], 'not as fast as it can');
    await world.pass(1);
    t.ok(hasRules(world) && trusts(world, OLD));
  },
);

t.test('a refusal is told once, and tried again until it works', async (t) => {
  const world = start(t, { isReady: false, clientConfig: { url: 'https://10.0.0.1:8443' } });
  const refuse = (reason: string) => () => {
    throw new Error(reason);
  };
  world.next(refuse('403'));
  await world.asleep();
  world.becomeReady();
  await world.pass(100);
  for (let attempt = 0; attempt < 3; attempt += 1) {
    world.next(refuse('403'));
    await world.pass(30_000);
  }
  world.next(refuse('500'));
  await world.pass(30_000);
  const warnings = () => world.logs.lines.filter(({ msg }) => msg === TROUBLE).map(({ reason }) => reason);
  t.strictSame(warnings(), ['403', '500']);
  t.equal(world.asked().length, 5);
  await world.pass(30_000);
  t.ok(hasRules(world));
  world.next(refuse('500'));
  await world.woken();
  t.strictSame(warnings(), ['403', '500', '500'], 'what goes wrong again after a success is news');
});

t.test('it tells since when an authority is made known', async (t) => {
  const world = start(t);
  t.equal(world.publishedSince(OLD), undefined);
  await world.asleep();
  const first = world.clock.date();
  t.equal(world.publishedSince(OLD), first);
  t.equal(world.publishedSince(OLD.trim()), first, 'whatever white space is around it');
  t.equal(world.publishedSince(NEXT), undefined);
  t.strictSame(world.told, [first]);

  await world.pass(60_000);
  await world.woken();
  t.equal(world.publishedSince(OLD), first, 'since it was seen first');
  t.strictSame(world.told, [first]);

  world.learn(OLD + NEXT);
  await world.woken();
  const second = world.clock.date();
  t.equal(world.publishedSince(NEXT), second);
  t.strictSame(world.told, [first, second]);
  t.ok(trusts(world, OLD + NEXT));
});

t.test('an authority that is no longer made known counts from the start', async (t) => {
  const world = start(t);
  await world.asleep();
  world.clock.advance(1_000);
  world.install();
  world.next(() => {});
  world.next(() => {
    throw new Error('down');
  });
  await world.woken();
  world.next(world.remove);
  await world.pass(1_000);
  t.equal(world.publishedSince(OLD), undefined);
  world.install();
  await world.woken();
  t.equal(world.publishedSince(OLD), world.clock.date());
  t.equal(world.told.length, 2);
});

t.test('while somebody else has the last word, nothing is made known', async (t) => {
  const world = start(t);
  await world.asleep();
  world.install();
  await world.woken();
  t.equal(world.publishedSince(OLD), undefined);
  await world.pass(100);
  t.equal(world.publishedSince(OLD), world.clock.date());
});

t.test('with files, the rules alone are ours', async (t) => {
  const caBundle = Buffer.from(OLD).toString('base64');
  const world = start(t, { bundle: undefined, clientConfig: { caBundle } });
  await world.asleep();
  await world.pass(SETTLED_MS);
  t.ok(hasRules(world));
  t.ok(trusts(world, OLD), 'what cert-manager has injected stays');
  t.strictSame(world.told, []);
  t.equal(world.publishedSince(OLD), undefined);
});

const [A, B] = ['/admission/a', '/admission/b'] as const;

const choice = (wanted: string, againMs = Number.POSITIVE_INFINITY): PathChoice => ({
  path: { wanted, alsoFine: [] },
  againMs,
});

const pathsIn = ({ webhooks }: World) => webhooks().map(({ clientConfig: { service } }) => service?.path);

t.test('API servers are told of the path that is chosen, with what is found as the reason', async (t) => {
  const found: object[] = [];
  let wanted: string = A;
  const world = start(t, {
    clientConfig: { service: {} },
    choosePath: async (situation) => {
      found.push(situation);
      return choice(wanted);
    },
  });
  await world.asleep();
  t.strictSame(pathsIn(world), [A, A], 'before it is armed');
  t.strictSame(found, [{ paths: ['/', '/'], isArmed: false, seenMs: 0 }]);
  t.strictSame(world.paths(), [A, '/'], 'what was told a moment ago is taken, too');
  t.equal(world.onlyPathMs(A), 0);
  t.equal(world.pathsTold(), 2, 'it was seen twice that they changed');
  await world.pass(SETTLED_MS);
  t.strictSame(found.at(-1), { paths: [A, A], isArmed: false, seenMs: SETTLED_MS });
  wanted = B;
  await world.woken();
  t.strictSame(pathsIn(world), [B, B]);
  t.strictSame(found.at(-1), { paths: [A, A], isArmed: true, seenMs: SETTLED_MS });
  t.ok(hasRules(world), 'and the rules are said again, or they would be given up');
  world.clock.advance(OVERLAP_MS);
  t.strictSame(world.paths(), [B, A]);
  world.clock.advance(1);
  t.strictSame(world.paths(), [B]);
  t.equal(world.onlyPathMs(B), OVERLAP_MS + 1);
});

t.test('it chooses again when it was told to', async (t) => {
  let choices = 0;
  const world = start(t, {
    clientConfig: { url: 'https://10.0.0.1:8443/admission' },
    choosePath: async () => {
      choices += 1;
      return choices < 3 ? choice('/admission', 2_000) : choice(A);
    },
  });
  await world.asleep();
  world.asked();
  await world.pass(2_000);
  t.strictSame(world.asked(), ['read']);
  await world.pass(2_000);
  t.strictSame(world.asked(), ['read', 'apply']);
  t.match(world.webhooks()[0], { clientConfig: { url: `https://10.0.0.1:8443${A}` } });
});

t.test('the same rule again has to wait, another path does not', async (t) => {
  let wanted: string = A;
  const world = start(t, {
    clientConfig: { service: { path: '/admission' } },
    choosePath: async () => choice(wanted),
  });
  await world.asleep();
  world.install();
  world.asked();
  await world.woken();
  t.strictSame(world.asked(), ['read'], 'somebody takes it back at once');
  wanted = B;
  await world.woken();
  t.strictSame(world.asked(), ['read', 'apply']);
});

t.test('a look tells the paths, ready or not, and changes nothing', async (t) => {
  const world = start(t, { isReady: false, clientConfig: { service: { path: '/admission' } } });
  await world.asleep();
  t.strictSame(world.paths(), []);
  t.equal(world.onlyPathMs('/admission'), undefined);
  await world.look(AbortSignal.timeout(1_000));
  t.strictSame(world.asked(), ['read']);
  t.strictSame(world.paths(), ['/admission']);
  world.remove();
  await world.look(AbortSignal.timeout(1_000));
  t.equal(world.onlyPathMs(A), 0, 'nobody is told of another');
});

t.test('stopped, it asks nothing any more', async (t) => {
  const world = start(t);
  await world.asleep();
  await world.stop();
  world.asked();
  world.wake();
  world.clock.advance(DAY);
  t.strictSame(world.asked(), []);
  t.equal(world.clock.timers(), 0);
});

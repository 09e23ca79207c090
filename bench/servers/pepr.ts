/**
 * A module of Pepr that looks up what Lockkeeper would: the revision below. It is copied to where Pepr is installed and run
 * there, as `pepr dev` runs a module; `pepr build` would put the same into one file.
 */
import { createRequire } from 'node:module';

/** As much of Pepr's types as is used: they are not installed here. */
interface Pepr {
  readonly Capability: new (options: object) => { readonly When: (model: unknown) => Bindings };
  readonly PeprModule: new (
    description: object,
    capabilities: readonly unknown[],
    options: object,
  ) => { start(port: number): void };
  readonly K8s: (model: unknown) => {
    InNamespace(namespace: string): {
      Get(name: string): Promise<{ metadata?: { labels?: Record<string, string> } }>;
    };
  };
  readonly a: { readonly Secret: unknown };
}

interface Bindings {
  IsCreated(): { Validate(decide: (review: PeprReview) => Promise<unknown>): unknown };
}

interface PeprReview {
  readonly Raw: { readonly metadata: { readonly labels: Readonly<Record<string, string>> } };
  Approve(): unknown;
  Deny(message: string): unknown;
}

const { Capability, PeprModule, K8s, a }: Pepr = createRequire(import.meta.url)('pepr');

const capability = new Capability({ name: 'gate', description: 'one look', namespaces: [] });

capability
  .When(a.Secret)
  .IsCreated()
  .Validate(async (review) => {
    const { name = '', version } = review.Raw.metadata.labels;
    const below = await K8s(a.Secret)
      .InNamespace('prod')
      .Get(`sh.helm.release.v1.${name}.v${Number(version) - 1}`);
    const isPending = below.metadata?.labels?.status?.startsWith('pending-');
    return isPending ? review.Deny('locked') : review.Approve();
  });

const pepr = { uuid: 'bench', onError: 'reject', webhookTimeout: 10, alwaysIgnore: { namespaces: [] } };
new PeprModule({ description: 'bench', pepr }, [capability], { deferStart: true }).start(
  Number(process.env.BENCH_PORT),
);

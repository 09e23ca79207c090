/** What the chart makes of values, read as objects. */
import { loadAllYaml } from '@kubernetes/client-node';
import { renderChart } from '../../deploy/render.ts';
import type { KubernetesObject } from '../clusters/kubernetes-object.ts';
import type { NpmHelmVersion } from '../tools/binaries.ts';

/** The Helm that renders fastest (it was measured: half the time of Helm 4). */
const FASTEST: NpmHelmVersion = '3.17.3';

export interface Rendered {
  readonly objects: readonly KubernetesObject[];
  /** The only one of a kind, hooks left out. @throws Error when there is none, or another */
  one(kind: string): KubernetesObject;
  /** All of a kind, hooks left out. */
  all(kind: string): readonly KubernetesObject[];
  /** The hooks for an event, such as `pre-delete`. */
  hooks(event: string): readonly KubernetesObject[];
}

/** @throws Error with Helm's words when it refuses the values */
export async function chart(values: object = {}, version = FASTEST): Promise<Rendered> {
  const documents = loadAllYaml(await renderChart({ values, version })) as (KubernetesObject | null)[];
  const objects = documents.filter((document) => document !== null);
  const all = (kind: string) =>
    objects.filter((object) => object.kind === kind && hookOf(object) === undefined);
  return {
    objects,
    all,
    one(kind) {
      const [found, ...others] = all(kind);
      if (!found || others.length > 0)
        throw new Error(`there are ${others.length + (found ? 1 : 0)} ${kind}s`);
      return found;
    },
    hooks: (event) => objects.filter((object) => hookOf(object)?.split(',').includes(event)),
  };
}

function hookOf({ metadata }: KubernetesObject): string | undefined {
  return metadata.annotations?.['helm.sh/hook'];
}

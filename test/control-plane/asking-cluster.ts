/** A real cluster on which a test sees what the API server asks Lockkeeper about. */
import type { Test } from 'tap';
import { emptyControlPlane } from '../clusters/start.ts';
import { lockkeeperOn } from '../e2e/world.ts';

export const PATHS = {
  Secret: '/api/v1/namespaces/prod/secrets',
  ConfigMap: '/api/v1/namespaces/prod/configmaps',
};

export type Labels = Readonly<Record<string, string>>;

export interface Sort {
  readonly kind: keyof typeof PATHS;
  readonly type?: string;
  readonly labels?: Labels;
  readonly data?: Readonly<Record<string, string>>;
  /** Default: `x`. */
  readonly prefix?: string;
}

/** Of the name of a record. */
export const RECORD = 'sh.helm.release.v1.';

/** The labels of a record. */
export const helm = (status: string): Labels => ({ owner: 'helm', name: 'api', version: '1', status });

export function objectOf({ kind: _, prefix = 'x', ...rest }: Sort, number: number) {
  const { labels, ...content } = rest;
  return { metadata: { name: `${prefix}api.v${number}`, ...(labels && { labels }) }, ...content };
}

/** A cluster that asks Lockkeeper. Ends with the test. */
export async function askingCluster(t: Test) {
  const cluster = await emptyControlPlane(t);
  const admin = await cluster.client();
  await admin.createNamespace('prod');
  const { front } = await lockkeeperOn(t, cluster);
  return {
    admin,
    front,
    /** Whether this write is asked about, which changes nothing. */
    async asksAbout(method: 'PUT' | 'PATCH', path: string, body: object, headers: object = {}) {
      const before = front.admissions.length;
      const patch = method === 'PATCH' && { 'content-type': 'application/merge-patch+json' };
      const options = { headers: { ...headers, ...patch } };
      const { code } = await admin.request(method, `${path}?dryRun=All`, body, options);
      const isAsked = front.admissions.length > before;
      if (!isAsked && code !== 200) throw new Error(`${method} ${path}: ${code}`);
      return isAsked;
    },
  };
}

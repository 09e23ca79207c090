/** A webhook that answers as a test tells it to, over HTTPS. */
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import type { Test } from 'tap';
import { issueAuthority, issueServingCertificate } from '../../src/tls/issue.ts';
import type { JsonObject, KubernetesObject } from './kubernetes-object.ts';

export interface ReviewRequest {
  readonly uid: string;
  readonly operation: string;
  /** Absent in a deletecollection. */
  readonly name?: string;
  readonly namespace?: string;
  readonly subResource?: string;
  readonly userInfo: { readonly username: string; readonly groups: readonly string[] };
  readonly object: KubernetesObject | null;
  readonly oldObject: KubernetesObject | null;
  readonly dryRun: boolean;
  readonly options: JsonObject;
}

/** What of the response the webhook decides; the uid is added unless it is given. */
export type Decide = (request: ReviewRequest, incoming: IncomingMessage) => JsonObject | Promise<JsonObject>;

export interface FakeWebhook {
  readonly port: number;
  readonly url: string;
  /** For `clientConfig`: base64 of PEM. */
  readonly caBundle: string;
  /** Every review so far. */
  readonly reviews: readonly ReviewRequest[];
  /** The paths with their queries. */
  readonly paths: readonly string[];
  /** The bodies as they came. */
  readonly bodies: readonly JsonObject[];
  connections(): number;
  /** From now on. A decision with `raw` is sent as it is, with `httpStatus`. */
  decide(decide: Decide): void;
}

export async function startFakeWebhook(
  t: Test,
  hosts: readonly string[] = ['127.0.0.1'],
): Promise<FakeWebhook> {
  const validity = { validDays: 1, now: new Date() };
  const authority = await issueAuthority({ commonName: 'fake webhook', ...validity });
  const { certificate, privateKey } = await issueServingCertificate(authority, { hosts, ...validity });
  const bodies: JsonObject[] = [];
  const paths: string[] = [];
  let decide: Decide = () => ({ allowed: true });
  let connections = 0;

  const server = createServer({ cert: certificate, key: privateKey }, async (incoming, outgoing) => {
    const body = (await json(incoming)) as JsonObject;
    bodies.push(body);
    paths.push(incoming.url ?? '');
    const request = body.request as ReviewRequest;
    const { raw, httpStatus, ...response } = await decide(request, incoming);
    outgoing.statusCode = Number(httpStatus ?? 200);
    const review = {
      kind: 'AdmissionReview',
      apiVersion: 'admission.k8s.io/v1',
      response: { uid: request.uid, ...response },
    };
    outgoing.end(raw ?? JSON.stringify(review));
  });
  server.on('secureConnection', () => {
    connections += 1;
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  return {
    port,
    url: `https://127.0.0.1:${port}/admission`,
    caBundle: Buffer.from(authority.certificate).toString('base64'),
    bodies,
    paths,
    get reviews() {
      return bodies.map(({ request }) => request as ReviewRequest);
    },
    connections: () => connections,
    decide(next) {
      decide = next;
    },
  };
}

export const CONFIGURATIONS = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations';

/**
 * A configuration with one webhook, which is called for writes of Secrets unless `more` says otherwise. The webhook is
 * named `webhook.gate.test`: an API server wants three parts.
 */
export function configurationOf(webhook: FakeWebhook, more: JsonObject = {}, name = 'gate.test'): JsonObject {
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    metadata: { name },
    webhooks: [
      {
        name: `webhook.${name}`,
        admissionReviewVersions: ['v1'],
        sideEffects: 'None',
        clientConfig: { url: webhook.url, caBundle: webhook.caBundle },
        rules: [{ operations: ['*'], apiGroups: [''], apiVersions: ['v1'], resources: ['secrets'] }],
        ...more,
      },
    ],
  };
}

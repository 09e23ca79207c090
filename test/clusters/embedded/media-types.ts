/**
 * Chooses what to answer from the Accept header, as the real API server does: the first clause that can be
 * served wins. Only JSON can be, whole or transformed; a clause that asks for protobuf or for aggregated
 * discovery is passed over, and clients that offer JSON after it fall back to that.
 * @see https://github.com/kubernetes/apiserver/blob/master/pkg/endpoints/handlers/negotiation/negotiate.go
 */
import { notAcceptable } from './status.ts';

const TRANSFORMS = ['PartialObjectMetadata', 'PartialObjectMetadataList', 'Table'] as const;

/** What an object or list is turned into before it is sent. */
export type Transform = (typeof TRANSFORMS)[number] | 'none';

const JSON_TYPES = ['application/json', 'application/*', '*/*'];

/** @throws ApiError 406 when nothing that the client accepts can be served */
export function chooseTransform(accept: string | undefined): Transform {
  if (accept === undefined || accept === '') return 'none';
  for (const clause of accept.split(',')) {
    const transform = transformOf(clause);
    if (transform) return transform;
  }
  const isOther = accept
    .split(',')
    .every((clause) => !JSON_TYPES.includes(clause.split(';')[0]?.trim() ?? ''));
  throw notAcceptable(
    isOther
      ? '406: Not Acceptable\n\nAvailable representations: application/json'
      : 'only the following media types are accepted: application/json',
  );
}

function transformOf(clause: string): Transform | undefined {
  const [type = '', ...parameters] = clause.split(';').map((part) => part.trim());
  if (!JSON_TYPES.includes(type)) return undefined;
  if (!parameters.some((parameter) => parameter.startsWith('as='))) return 'none';
  const isMeta = parameters.includes('g=meta.k8s.io');
  const isKnownVersion = parameters.includes('v=v1') || parameters.includes('v=v1beta1');
  if (!isMeta || !isKnownVersion) return undefined;
  return TRANSFORMS.find((transform) => parameters.includes(`as=${transform}`));
}

/** Requests to the REST interface and beside it that are nearly right. */
import fc from 'fast-check';
import { strangersText } from '../support/unsafe-text.ts';
import { NAMESPACE, RELEASE, uidOfStored } from './history.ts';
import { nearly, rarely } from './values.ts';

export interface RestRequest {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly token: Token;
  readonly headers: Readonly<Record<string, string>>;
}

/** Whose; `nobody` has one that is good, and no right. */
export type Token = 'somebody' | 'nobody' | 'refused' | 'malformed' | 'none';

const methods = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('GET', 'DELETE') },
  { weight: 1, arbitrary: fc.constantFrom('HEAD', 'POST', 'PUT', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND') },
);

const tokens = fc.oneof(
  { weight: 6, arbitrary: fc.constant<Token>('somebody') },
  { weight: 1, arbitrary: fc.constantFrom<Token>('nobody', 'refused', 'malformed', 'none') },
);

/** As browsers write it, and as nobody should. */
function encoded(text: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc.tuple(text, fc.integer({ min: 0, max: 19 })).map(([value, style]) => {
    const well = encodeURIComponent(value.toWellFormed());
    return style > 0 ? well : well.replaceAll('%', '%25%').slice(0, -1);
  });
}

const inNamespace = encoded(nearly(NAMESPACE)).map((namespace) => `/api/v1/namespaces/${namespace}/locks`);
const ofRelease = fc.tuple(inNamespace, encoded(nearly(RELEASE))).map(([path, name]) => `${path}/${name}`);

const OTHER_PATHS = [
  '/',
  '/api',
  '/api/v1',
  '/api/v1/',
  '/api/v1/locks',
  '/api/v2/locks',
  '/admission',
  '/livez',
  '/readyz',
  '/metrics',
  '/openapi.json',
  '/docs',
  '/docs/static/index.html',
  '/docs/static/../../../package.json',
  '/docs/static/%2e%2e%2f%2e%2e%2fpackage.json',
  '//api/v1/locks',
  '/api/v1/namespaces//locks',
  '/%',
  `/${'a'.repeat(9_000)}`,
];

const values = fc.oneof(
  fc.constantFrom('true', 'false', 'delete', 'mark-failed', '1', '2', '0', '1e3', '-1', '', 'x'.repeat(201)),
  fc.integer({ min: 1, max: 5 }).map(uidOfStored),
  fc.string({ unit: 'binary', maxLength: 100 }),
  strangersText,
);

const fields = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.constantFrom('strategy', 'revision', 'uid', 'force', 'reason'),
  },
  { weight: 1, arbitrary: fc.constantFrom('timeout', '__proto__', 'constructor', '') },
);

const queries = fc
  .array(fc.tuple(encoded(fields), encoded(values)), { maxLength: 3 })
  .map((pairs) => pairs.map(([field, value]) => `${field}=${value}`).join('&'));

const force = fc.constantFrom('force=true', 'force=true&strategy=delete', 'strategy=delete');

/** Who waits as long as they may is no hang. */
const waitQueries = fc
  .constantFrom('0', '0', '-1', '1e1', '', 'soon', '86401')
  .map((timeout) => `timeout=${timeout}`);

const headers = rarely(
  fc.constantFrom<Record<string, string>>(
    { accept: 'text/html' },
    { accept: '\u00ff' },
    { 'content-type': 'application/json' },
    { 'content-type': 'x'.repeat(8_000) },
    { 'x-forwarded-for': '10.0.0.1' },
    { 'accept-encoding': 'br, gzip' },
    { 'x-http-method-override': 'DELETE' },
    { cookie: 'a=b'.repeat(500) },
  ),
).map((chosen) => chosen ?? {});

const aLook = fc.record({
  method: methods,
  path: fc.oneof(
    { weight: 6, arbitrary: ofRelease },
    { weight: 2, arbitrary: inNamespace },
    fc.constantFrom(...OTHER_PATHS),
  ),
  query: fc.oneof({ weight: 3, arbitrary: queries }, { weight: 1, arbitrary: force }),
  token: tokens,
  headers,
});

const aWait = fc.record({
  method: methods,
  path: ofRelease.map((path) => `${path}/wait`),
  query: waitQueries,
  token: tokens,
  headers: fc.oneof(headers, fc.constant({ accept: 'application/x-ndjson' })),
});

export const restRequests: fc.Arbitrary<RestRequest> = fc.oneof(
  { weight: 4, arbitrary: aLook },
  { weight: 1, arbitrary: aWait },
);

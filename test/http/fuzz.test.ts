/** Whatever is sent, nobody gets a 5xx, and the cluster is asked for nothing that the schemas forbid. */
import fc from 'fast-check';
import t from 'tap';
import Value from 'typebox/value';
import type { ClearRequest } from '../../src/gate/clearing.ts';
import { ClearQuery, ReleaseParams } from '../../src/http/schemas.ts';
import { restApp } from '../support/app.ts';

/** Near misses, nonsense, and now and then what is right. */
const names = fc.oneof(
  fc.constantFrom('prod', 'api', 'a.b', 'a-', '__proto__', 'constructor', '..', 'wait', ''),
  fc.stringMatching(/^[a-z0-9.-]{1,70}$/),
  fc.string({ unit: 'binary', maxLength: 60 }),
);
const values = fc.oneof(
  fc.constantFrom('true', 'false', 'delete', 'mark-failed', '1', '7', '0', '1e3', '-1', '', 'x'.repeat(201)),
  fc.nat().map(String),
  fc.double().map(String),
  fc.string({ unit: 'binary', maxLength: 250 }),
  fc.string({ unit: 'grapheme', maxLength: 210 }),
);
const fields = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom('strategy', 'revision', 'uid', 'force', 'reason') },
  { weight: 1, arbitrary: fc.constantFrom('timeout', '__proto__', 'constructor', 'toString', '') },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 70 }) },
);
/** As browsers write it, and as nobody should. */
const encoded = (text: fc.Arbitrary<string>) =>
  fc.tuple(text, fc.integer({ min: 0, max: 9 })).map(([value, style]) => {
    const well = encodeURIComponent(value.toWellFormed());
    return style > 0 ? well : well.replaceAll('%', style % 2 ? '%25' : '%%').slice(0, -1);
  });
const queries = fc
  .array(fc.tuple(encoded(fields), encoded(values)), { maxLength: 6 })
  .map((pairs) => pairs.map(([field, value]) => `${field}=${value}`).join('&'));

/** Of one address, a few hundred DELETE are taken in a minute. */
let addresses = 0;
function nextAddress(): string {
  addresses += 1;
  return `10.0.${addresses % 256}.1`;
}

/** Fields that are not there are left out; those that are there are as the schema says. */
function isAllowed({ target, by, trigger, ...query }: ClearRequest): boolean {
  return (
    Value.Check(ReleaseParams, { namespace: target.namespace, release: target.name }) &&
    Value.Check(ClearQuery, query) &&
    query.strategy !== undefined &&
    query.force !== undefined
  );
}

for (const method of ['DELETE', 'GET'] as const) {
  t.test(`given any names and any query, then ${method} is 200 for what was checked, or 4xx`, async (t) => {
    const { send, asked } = await restApp(t);
    const seen = new Set<number>();
    await fc.assert(
      fc.asyncProperty(encoded(names), encoded(names), queries, async (inNamespace, name, query) => {
        asked.clear.length = 0;
        asked.find.length = 0;
        const path = `/api/v1/namespaces/${inNamespace}/locks/${name}?${query}`;
        const { status, body } = await send(method, path, { remoteAddress: nextAddress() });
        seen.add(status);
        const questions = asked.clear.length + asked.find.length;
        const isAnswer = status === 200 && questions <= 1;
        const isProblem = [400, 404].includes(status) && body.status === status && questions === 0;
        return (isAnswer || isProblem) && asked.clear.every(isAllowed);
      }),
      { numRuns: 1_000 },
    );
    t.ok(seen.has(200) && seen.has(400), `${[...seen].sort().join(', ')} were seen`);
  });
}

t.test('given any well-formed names, then the lock is looked for under exactly these', async (t) => {
  const { send, asked } = await restApp(t);
  await fc.assert(
    fc.asyncProperty(
      fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/),
      fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?)?$/),
      async (inNamespace, name) => {
        const { status } = await send('GET', `/api/v1/namespaces/${inNamespace}/locks/${name}`);
        const { namespace: lookedIn, name: lookedFor } = asked.find.at(-1) ?? {};
        return status === 200 && lookedIn === inNamespace && lookedFor === name;
      },
    ),
    { numRuns: 200 },
  );
  t.pass();
});

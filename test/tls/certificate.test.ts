/** What is read off a certificate. What is wrong with a pair is told in files.test.ts and authority-data.test.ts. */
import t from 'tap';
import { flawOf, renewalOf, validityOf } from '../../src/tls/certificate.ts';
import { issueAuthority } from '../../src/tls/issue.ts';

const DAY = 86_400_000;
const MINUTE = 60_000;
const now = new Date('2026-11-22T13:00:00Z');
const [month, other] = await Promise.all([
  issueAuthority({ commonName: 'month', validDays: 30, now }),
  issueAuthority({ commonName: 'other', validDays: 1, now }),
]);

t.test('when it is valid, and when it is to be renewed', async (t) => {
  const from = now.getTime() - 10 * MINUTE;
  const to = now.getTime() + 30 * DAY;
  t.strictSame(validityOf(month.certificate), { from, to });
  t.equal(renewalOf(month.certificate), from + ((to - from) * 2) / 3, 'at two thirds of its life');
});

t.test('of a chain, the first certificate counts', async (t) => {
  const chain = month.certificate + other.certificate;
  t.strictSame(validityOf(chain), validityOf(month.certificate));
  const names = { certificate: 'a.crt', privateKey: 'a.key' };
  t.equal(flawOf({ ...month, certificate: chain }, names), undefined);
  t.equal(
    flawOf({ ...other, certificate: chain }, names),
    'a.key is not the key of the first certificate in a.crt',
  );
});

t.test('given no certificate, there is nothing to read', async (t) => {
  t.throws(() => validityOf(''));
  t.throws(() => renewalOf('garbage'));
});

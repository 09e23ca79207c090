/** The rules of the overlap: when an authority is made known, signs, and is forgotten. */
import { X509Certificate } from 'node:crypto';
import t from 'tap';
import {
  type Authorities,
  bundleOf,
  forget,
  introduce,
  nextStep,
  promote,
} from '../../src/tls/authorities.ts';
import { renewalOf, validityOf } from '../../src/tls/certificate.ts';
import { issueAuthority, type KeyPair } from '../../src/tls/issue.ts';

const SECOND = 1_000;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const START = Date.parse('2026-11-22T13:00:00Z');

/** Valid from `START`, for so long. */
async function authority(commonName: string, ms: number): Promise<KeyPair> {
  // It is backdated, by ten minutes at most.
  const backdated = Math.min(10 * MINUTE, ms / 11);
  const now = new Date(START + backdated);
  return issueAuthority({ commonName, validDays: (ms - backdated) / DAY, now });
}

const YEAR = 360 * DAY;
const signing = await authority('signing', YEAR);
const next = await authority('next', 2 * YEAR);
const old = await authority('old', 60 * DAY);
const older = await authority('older', 30 * DAY);
/** It lives for 22 minutes, so that little time is left for anything. */
const brief = await authority('brief', 22 * MINUTE);

const alone: Authorities = { signing, previous: [] };
const introduced: Authorities = { signing, next, previous: [] };

t.test('what the rules are about', async (t) => {
  t.strictSame(validityOf(signing.certificate), { from: START, to: START + YEAR });
  t.strictSame(validityOf(brief.certificate), { from: START, to: START + 22 * MINUTE });
  t.equal(renewalOf(signing.certificate), START + 240 * DAY, 'two thirds of its life');
});

/** `at` and `known` in milliseconds after the start. */
const RULES: readonly {
  readonly given: string;
  readonly authorities: Authorities;
  readonly at: number;
  readonly known?: number;
  readonly step: object;
}[] = [
  {
    given: 'a new authority',
    authorities: alone,
    at: 0,
    step: { kind: 'wait', until: START + 240 * DAY },
  },
  {
    given: 'one that begins only tomorrow, by this clock',
    authorities: alone,
    at: -DAY,
    step: { kind: 'wait', until: START + 240 * DAY },
  },
  {
    given: 'one moment before two thirds of its life',
    authorities: alone,
    at: 240 * DAY - 1,
    step: { kind: 'wait', until: START + 240 * DAY },
  },
  { given: 'two thirds of its life', authorities: alone, at: 240 * DAY, step: { kind: 'introduce' } },
  {
    given: 'nearly all of its life, and nobody looked before',
    authorities: alone,
    at: YEAR - 1,
    step: { kind: 'introduce' },
  },
  { given: 'the end of its life', authorities: alone, at: YEAR, step: { kind: 'replace' } },
  { given: 'a year after that', authorities: alone, at: 2 * YEAR, step: { kind: 'replace' } },

  {
    given: 'a next one that is not known yet',
    authorities: introduced,
    at: 240 * DAY,
    step: { kind: 'wait', until: START + 300 * DAY },
  },
  {
    given: 'a next one that is known since this moment',
    authorities: introduced,
    at: 240 * DAY,
    known: 240 * DAY,
    step: { kind: 'wait', until: START + 240 * DAY + MINUTE },
  },
  {
    given: 'a next one that is known for nearly a minute',
    authorities: introduced,
    at: 240 * DAY + MINUTE - 1,
    known: 240 * DAY,
    step: { kind: 'wait', until: START + 240 * DAY + MINUTE },
  },
  {
    given: 'a next one that is known for a minute',
    authorities: introduced,
    at: 240 * DAY + MINUTE,
    known: 240 * DAY,
    step: { kind: 'promote', next },
  },
  {
    given: 'a next one that somebody introduced early, and that is known for a minute',
    authorities: introduced,
    at: DAY,
    known: DAY - MINUTE,
    step: { kind: 'promote', next },
  },
  {
    given: 'a next one that nobody makes known, one moment before five sixths',
    authorities: introduced,
    at: 300 * DAY - 1,
    step: { kind: 'wait', until: START + 300 * DAY },
  },
  {
    given: 'a next one that nobody makes known, and five sixths',
    authorities: introduced,
    at: 300 * DAY,
    step: { kind: 'promote', next },
  },
  {
    given: 'a next one that is known since a moment before five sixths',
    authorities: introduced,
    at: 300 * DAY,
    known: 300 * DAY - 1,
    step: { kind: 'promote', next },
  },
  {
    given: 'a next one, and the one that signs has expired meanwhile',
    authorities: introduced,
    at: YEAR,
    step: { kind: 'promote', next },
  },

  {
    given: 'a next one of an authority that lives for 22 minutes: a minute would be too long',
    authorities: { ...introduced, signing: brief },
    at: 15 * MINUTE,
    known: 15 * MINUTE,
    step: { kind: 'wait', until: START + 15 * MINUTE + 55 * SECOND },
  },

  {
    given: 'previous ones that still live',
    authorities: { signing, previous: [old.certificate, older.certificate] },
    at: DAY,
    step: { kind: 'wait', until: START + 30 * DAY },
  },
  {
    given: 'previous ones, one of which has expired',
    authorities: { signing, previous: [old.certificate, older.certificate] },
    at: 30 * DAY,
    step: { kind: 'forget' },
  },
  {
    given: 'a previous one that has expired, but the next one is being made known',
    authorities: { ...introduced, previous: [older.certificate] },
    at: 240 * DAY,
    known: 240 * DAY,
    step: { kind: 'wait', until: START + 240 * DAY + MINUTE },
  },
  {
    given: 'a previous one that has expired, and the time for a next one has come',
    authorities: { signing, previous: [older.certificate] },
    at: 240 * DAY,
    step: { kind: 'introduce' },
  },
];

for (const { given, authorities, at, known, step } of RULES) {
  t.test(`given ${given}`, async (t) => {
    t.strictSame(nextStep(authorities, START + at, known === undefined ? undefined : START + known), step);
  });
}

t.test('each step leads to one that can wait: no authority is made in vain', async (t) => {
  const seen: string[] = [];
  let authorities: Authorities = { signing: brief, previous: [older.certificate] };
  let now = START + 30 * DAY;
  for (let steps = 0; steps < 10; steps += 1) {
    const step = nextStep(authorities, now, now - MINUTE);
    seen.push(step.kind);
    if (step.kind === 'wait') break;
    if (step.kind === 'forget') authorities = forget(authorities, now);
    else authorities = promote(authorities, signing);
  }
  t.strictSame(seen, ['replace', 'forget', 'wait']);
  now = START + 240 * DAY;
  t.strictSame(nextStep(authorities, now, undefined), { kind: 'introduce' });
  authorities = introduce(authorities, next);
  t.match(nextStep(authorities, now, now), { kind: 'wait' });
  now += MINUTE;
  t.match(nextStep(authorities, now, now - MINUTE), { kind: 'promote' });
  authorities = promote(authorities, next);
  t.match(
    nextStep(authorities, now, undefined),
    { kind: 'wait', until: START + YEAR },
    'until the old one ends',
  );
});

t.test('the bundle carries all that is to be trusted, the one that signs first', async (t) => {
  const introducing = introduce({ signing, previous: [old.certificate] }, next);
  t.strictSame(subjects(bundleOf(introducing)), ['signing', 'next', 'old']);
  const promoted = promote(introducing, next);
  t.strictSame(subjects(bundleOf(promoted)), ['next', 'signing', 'old'], 'the old one is trusted to its end');
  t.equal(promoted.next, undefined);
  t.equal(promoted.signing.privateKey, next.privateKey);
  t.notMatch(JSON.stringify(promoted), signing.privateKey.slice(100, 150), 'nothing signs with its key');
  t.strictSame(subjects(bundleOf(forget(promoted, START + 60 * DAY))), ['next', 'signing']);
  t.strictSame(subjects(bundleOf(forget(promoted, START + 60 * DAY - 1))), ['next', 'signing', 'old']);
  t.strictSame(subjects(bundleOf(forget(promoted, START + YEAR))), ['next']);
});

t.test('the bundle is PEM, whatever white space the certificates came with', async (t) => {
  const bundle = bundleOf({
    signing: { ...signing, certificate: `\n\n${signing.certificate.trim()}` },
    next,
    previous: [`${old.certificate}\r\n\r\n`],
  });
  t.strictSame(subjects(bundle), ['signing', 'next', 'old']);
  t.match(bundle, /^-----BEGIN CERTIFICATE-----\r?\n/);
  t.match(bundle, /-----END CERTIFICATE-----\n$/);
});

/** The common names in a bundle, as OpenSSL reads it. */
function subjects(bundle: string): (string | undefined)[] {
  const certificates = bundle.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\r?\n/g) ?? [];
  return certificates.map((certificate) => /CN=(.*)/.exec(new X509Certificate(certificate).subject)?.[1]);
}

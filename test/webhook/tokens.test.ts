/** The rules of the overlap of two tokens, and how a Secret keeps them. */
import t from 'tap';
import {
  forgetTokens,
  introduceToken,
  nextTokenStep,
  overlapOf,
  promoteToken,
  readTokens,
  type Tokens,
  type TokenTimes,
  tokensIn,
  writeTokens,
} from '../../src/webhook/tokens.ts';

const DAY = 86_400_000;
const MINUTE = 60_000;
const MADE = Date.parse('2026-11-22T13:00:00.000Z');

const [OLD, CURRENT, NEXT] = ['old', 'current', 'next'].map((name) => name.padEnd(32, '0')) as [
  string,
  string,
  string,
];

const alone: Tokens = { current: CURRENT, previous: [], madeAt: MADE };
const introduced: Tokens = { ...alone, next: NEXT };
const promoted: Tokens = { ...alone, previous: [OLD] };

const times: TokenTimes = { date: MADE, knownMs: 0, publishedMs: 0, periodMs: 30 * DAY };

t.test('what to do with the tokens', async (t) => {
  for (const [given, tokens, changes, step] of [
    ['a new one', alone, {}, { kind: 'wait', ms: 30 * DAY }],
    ['one of a day', alone, { date: MADE + DAY }, { kind: 'wait', ms: 29 * DAY }],
    ['one of 30 days', alone, { date: MADE + 30 * DAY }, { kind: 'introduce' }],
    [
      'a clock that is a little behind',
      alone,
      { date: MADE - 5_000 },
      { kind: 'wait', ms: 30 * DAY - 5_000 },
    ],
    [
      'a date of next year, by a clock that was wrong',
      alone,
      { date: MADE - 365 * DAY },
      { kind: 'introduce' },
    ],
    ['a next one that was just heard of', introduced, {}, { kind: 'wait', ms: MINUTE }],
    ['a next one for a while', introduced, { knownMs: 59_000 }, { kind: 'wait', ms: 1_000 }],
    ['a next one for long enough', introduced, { knownMs: MINUTE }, { kind: 'promote', next: NEXT }],
    [
      'a next one, whoever is told of what',
      introduced,
      { publishedMs: undefined },
      { kind: 'wait', ms: MINUTE },
    ],
    [
      'an old one, and nobody was told yet',
      promoted,
      { publishedMs: undefined },
      { kind: 'wait', ms: Infinity },
    ],
    ['an old one, and all were told just now', promoted, { knownMs: DAY }, { kind: 'wait', ms: MINUTE }],
    ['an old one, for long enough', promoted, { publishedMs: MINUTE }, { kind: 'forget' }],
    ['an old one, however old', promoted, { date: MADE + 90 * DAY }, { kind: 'wait', ms: MINUTE }],
    [
      'tokens that live for minutes, as in tests',
      introduced,
      { periodMs: 24_000, knownMs: 400 },
      { kind: 'wait', ms: 600 },
    ],
  ] as const) {
    t.strictSame(nextTokenStep(tokens, { ...times, ...changes }), step, given);
  }
  t.equal(overlapOf(30 * DAY), MINUTE);
  t.equal(overlapOf(24_000), 1_000);
});

t.test('the whole of a rotation: each is taken from before it is sent until after', async (t) => {
  const second = introduceToken(alone, NEXT, MADE + DAY);
  t.strictSame(second, { current: CURRENT, next: NEXT, previous: [], madeAt: MADE + DAY });
  t.strictSame(tokensIn(second), [CURRENT, NEXT]);
  const third = promoteToken(second, NEXT);
  t.strictSame(third, { current: NEXT, previous: [CURRENT], madeAt: MADE + DAY });
  t.strictSame(tokensIn(third), [NEXT, CURRENT]);
  const fourth = forgetTokens(third);
  t.strictSame(fourth, { current: NEXT, previous: [], madeAt: MADE + DAY });
  t.strictSame(tokensIn(fourth), [NEXT]);
});

const base64 = (text: string) => Buffer.from(text).toString('base64');

t.test('what is written is read, and what else is in the Secret stays', async (t) => {
  for (const tokens of [alone, introduced, promoted, { ...promoted, previous: [OLD, NEXT] }]) {
    const others = { 'tls.crt': base64('crt'), note: '' };
    const data = writeTokens(tokens, { ...writeTokens(introduced), ...others });
    t.strictSame(readTokens(data), tokens);
    t.match(data, others);
    t.strictSame(writeTokens(tokens, data), data);
  }
  t.notOk(
    'path.next' in writeTokens(alone, writeTokens(introduced)),
    'what is not there any more is left out',
  );
});

t.test('what somebody has written by hand', async (t) => {
  const data = writeTokens(introduced);
  for (const [given, changes, expected] of [
    ['nothing', undefined, undefined],
    ['an emptied token: a new one is wanted', { ...data, 'path.token': '' }, undefined],
    ['one that can be guessed', { ...data, 'path.token': base64('admission') }, undefined],
    ['one that no Service can have', { ...data, 'path.token': base64('A'.repeat(32)) }, undefined],
    ['a path', { ...data, 'path.token': base64(`../${CURRENT}`) }, undefined],
    ['a line break after it', { ...data, 'path.token': base64(`${CURRENT}\r\n`) }, introduced],
    ['an odd next one', { ...data, 'path.next': base64('?') }, alone],
    ['an odd date', { ...data, 'path.made-at': base64('soon') }, { ...introduced, madeAt: 0 }],
    ['no date', { 'path.token': base64(CURRENT) }, { ...alone, madeAt: 0 }],
    ['odd old ones', { ...data, 'path.previous': base64(`${OLD}\n\nx`) }, { ...introduced, previous: [OLD] }],
  ] as const) {
    t.strictSame(readTokens(changes), expected, given);
  }
});

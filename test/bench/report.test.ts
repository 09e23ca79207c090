import t from 'tap';
import { bytes, digits, markdown, megabytes, ms, page, type Section, times } from '../../bench/report.ts';

t.test('numbers have the digits that count', async (t) => {
  for (const [value, shown] of [
    [0, '0.00'],
    [0.256, '0.26'],
    [1.249, '1.25'],
    [12.34, '12.3'],
    [123.4, '123'],
    [5_321, '5321'],
    [-3.456, '-3.46'],
    [Number.NaN, '–'],
  ] as const) {
    t.equal(digits(value), shown);
  }
  t.equal(times(1.2), '1.20 ×');
  t.equal(ms(3), '3.00 ms');
  t.equal(megabytes(94_123_456), '94.1 MB');
  t.equal(bytes(12_340), '12.3 KB');
  t.equal(bytes(12_340_000), '12.3 MB');
});

t.test('a table aligns its numbers', async (t) => {
  const text = markdown({ head: ['', 'p50'], rows: [['one read', '1.00 ms']] });
  t.equal(text, '|  | p50 |\n| --- | --: |\n| one read | 1.00 ms |');
});

const section: Section = {
  title: 'Something',
  about: 'How.',
  tables: [{ head: ['', 'ratio'], rows: [['one', '2.00 ×']] }],
  remarks: ['And so on.'],
  targets: [
    { what: 'fast', atMost: '1 ms', seen: '0.5 ms', isMet: true },
    { what: 'small', atMost: '5 MB', seen: '9 MB', isMet: false },
  ],
};

const occasion = {
  command: 'npm run bench',
  date: '2026-11-23',
  minutes: 9,
  machine: ['2 cores', 'Node 24'],
};

t.test('the page begins with where its numbers are from, and with what was promised', async (t) => {
  const text = page(occasion, [section]);
  t.match(text, /^# Performance\n\nMade by `npm run bench` on 2026-11-23, in one run of 9 minutes/);
  t.match(text, '- 2 cores\n- Node 24\n');
  t.match(text, '| fast | 1 ms | 0.5 ms | met |');
  t.match(text, '| small | 5 MB | 9 MB | **missed** |');
  t.ok(text.indexOf('## The targets') < text.indexOf('## Something'));
  t.ok(text.endsWith('| one | 2.00 × |\n\nAnd so on.\n'));
});

t.test('a page of what promises nothing has no targets', async (t) => {
  t.notMatch(page(occasion, [{ ...section, targets: [] }]), 'targets');
});

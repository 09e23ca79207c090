import t from 'tap';
import { helmVersionsPage, withoutSeconds } from './helm-versions.ts';

const OUTPUT = `TAP version 14
# Subtest: test/e2e/helm-3.9.4.test.ts
    # Subtest: Helm 3.9.4: a rollback waits
        ok 1 - a first install
        # Helm 3.9.4, seconds of each attempt: 1.00 429, 0.31 allowed
    ok 1 - Helm 3.9.4: a rollback waits # time=1205.742ms
    ok 2 - Helm 3.9.4, driver secret: a lock is cleared # time=1ms
    ok 3 - a test without a Helm # time=1ms
ok 1 - test/e2e/helm-3.9.4.test.ts # time=8879.576ms
    # Subtest: Helm 3.22.0: a rollback waits
        # Helm 3.22.0, seconds of each attempt: 1.01 429, 0.29 allowed
    not ok 1 - Helm 3.22.0: a rollback waits # time=12.742ms
`;

t.test('each story has a row, each Helm a column', async (t) => {
  const page = helmVersionsPage(OUTPUT);
  const rows = page.split('\n').filter((line) => line.startsWith('|'));
  t.same(rows, [
    '|  | Helm 3.9.4 | Helm 3.22.0 |',
    '| --- | --- | --- |',
    '| A lock is cleared (driver secret) | yes |  |',
    '| A rollback waits | yes | no |',
    '| Helm | seconds in the gate, and the answer, of each attempt |',
    '| --- | --- |',
    '| 3.9.4 | 1.00 429, 0.31 allowed |',
    '| 3.22.0 | 1.01 429, 0.29 allowed |',
  ]);
});

t.test('two runs that took different times say the same, two that saw different things do not', async (t) => {
  const page = helmVersionsPage(OUTPUT);
  const slower = helmVersionsPage(OUTPUT.replaceAll('0.31', '12.77').replaceAll('1.00', '1.05'));
  t.not(page, slower);
  t.equal(withoutSeconds(page), withoutSeconds(slower));
  for (const [what, other] of [
    ['not ok', 'ok'],
    ['429', '409'],
    ['0.31 allowed', '0.31 429'],
  ] as const) {
    t.not(withoutSeconds(page), withoutSeconds(helmVersionsPage(OUTPUT.replace(what, other))), other);
  }
});

/** Label selectors, as kubectl takes them. */
import t from 'tap';
import { matchesSelector, parseSelector } from '../../src/kubernetes/label-selector.ts';

t.test('which labels a selector takes', async (t) => {
  const rows: [string, Record<string, string>, boolean][] = [
    ['helmcharts.helm.cattle.io/chart', { 'helmcharts.helm.cattle.io/chart': 'traefik' }, true],
    ['helmcharts.helm.cattle.io/chart', { chart: 'traefik' }, false],
    ['!team', {}, true],
    ['!team', { team: '' }, false],
    ['team=a', { team: 'a' }, true],
    ['team == a', { team: 'b' }, false],
    ['team=', { team: '' }, true],
    ['team!=a', { team: 'b' }, true],
    ['team!=a', {}, true],
    ['team!=a', { team: 'a' }, false],
    ['team in (a, b)', { team: 'b' }, true],
    ['team in (a,b)', {}, false],
    ['team notin (a,b)', { team: 'c' }, true],
    ['team notin (a,b)', {}, true],
    ['team notin (a,b)', { team: 'a' }, false],
    ['team in (a,b),app', { team: 'a' }, false],
    ['team in (a,b),app', { team: 'a', app: 'x' }, true],
    ['', { team: 'a' }, false],
    [' ', {}, false],
  ];
  for (const [text, labels, expected] of rows) {
    t.equal(matchesSelector(parseSelector(text), labels), expected, `${text} of ${JSON.stringify(labels)}`);
  }
});

t.test('what is no selector is said', async (t) => {
  for (const text of ['a b', 'a in', 'a in (', '=a', 'a,,b', '-a', 'a=b c', 'a>1']) {
    t.throws(() => parseSelector(text), { message: /is no requirement of a label selector$/ }, text);
  }
});

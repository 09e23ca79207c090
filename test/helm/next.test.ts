/** Which commands are named for what is left. That they work is seen in test/e2e/next.ts. */
import t from 'tap';
import { nextCommands } from '../../src/helm/next.ts';
import { type Driver, PENDING_STATUSES, type Release, type Revision } from '../../src/helm/release.ts';
import { revision } from '../support/revisions.ts';

const UPGRADE = 'helm upgrade api CHART -n prod';
const UPGRADE_INSTALL = 'helm upgrade --install api CHART -n prod';
const INSTALL = 'helm install api CHART -n prod';
const REPLACE = 'helm install --replace api CHART -n prod';
const UNINSTALL = 'helm uninstall api -n prod';
const rollback = (revision: number) => `helm rollback api ${revision} -n prod`;

function release(name = 'api', driver: Driver = 'secrets'): Release {
  return { driver, namespace: 'prod', name };
}

function revisions(of: Release, history: readonly string[]): Revision[] {
  return history.map((line) => {
    const [number, status = ''] = line.split(' ');
    return revision(Number(number), status, { release: of });
  });
}

t.test('what is named for what is left, in whatever order it comes', async (t) => {
  const rows: [history: string[], commands: string[]][] = [
    [[], [INSTALL, UPGRADE_INSTALL]],

    [['1 deployed'], [UPGRADE, UPGRADE_INSTALL, rollback(1)]],
    [['1 superseded'], [UPGRADE, UPGRADE_INSTALL, rollback(1)]],
    [['1 failed'], [UPGRADE, UPGRADE_INSTALL]],
    [
      ['1 failed', '2 failed'],
      [UPGRADE, UPGRADE_INSTALL],
    ],

    [
      ['4 superseded', '5 deployed', '6 failed'],
      [UPGRADE, UPGRADE_INSTALL, rollback(5)],
    ],
    [
      ['4 superseded', '5 superseded', '6 failed'],
      [UPGRADE, UPGRADE_INSTALL, rollback(5)],
    ],
    [
      ['4 deployed', '5 superseded', '6 failed'],
      [UPGRADE, UPGRADE_INSTALL, rollback(4)],
    ],
    [
      ['4 deployed', '5 deployed', '6 failed'],
      [UPGRADE, UPGRADE_INSTALL, rollback(5)],
    ],
    [
      ['9 deployed', '10 deployed', '11 failed'],
      [UPGRADE, UPGRADE_INSTALL, rollback(10)],
    ],
    [
      ['1 deployed', '2 pending-upgrade', '3 failed'],
      [UPGRADE, UPGRADE_INSTALL, rollback(1)],
    ],

    [['1 uninstalled'], [REPLACE]],
    [
      ['1 superseded', '2 uninstalled'],
      [REPLACE, rollback(1)],
    ],
    [
      ['1 deployed', '2 uninstalled'],
      [UPGRADE, rollback(1)],
    ],
    [
      ['9 deployed', '10 uninstalled'],
      [UPGRADE, UPGRADE_INSTALL, rollback(9)],
    ],
    [
      ['8 superseded', '9 uninstalled', '10 deployed'],
      [UPGRADE, rollback(10)],
    ],
    [['9 uninstalled', '10 failed'], [UPGRADE]],
    [
      ['9 uninstalled', '90 failed'],
      [UPGRADE, UPGRADE_INSTALL],
    ],

    ...['uninstalling', 'unknown'].flatMap((status): [string[], string[]][] => [
      [[`1 ${status}`], [UNINSTALL]],
      [['1 failed', `2 ${status}`], [UNINSTALL]],
      [['1 superseded', `2 ${status}`], [rollback(1)]],
      [
        ['1 deployed', `2 ${status}`],
        [UPGRADE, UPGRADE_INSTALL, rollback(1)],
      ],
    ]),

    // What Helm would make of a status that is not in the label is not known; a rollback does not ask.
    [['1'], [UNINSTALL]],
    [['1 deployed', '2'], [rollback(1)]],
    [['1 deployed', '2 paused'], [rollback(1)]],
  ];
  for (const [history, commands] of rows) {
    const remaining = revisions(release(), history);
    t.same(nextCommands(release(), remaining), commands, history.join(', ') || 'nothing');
    t.same(nextCommands(release(), remaining.toReversed()), commands, 'newest first');
  }
});

t.test('a pending revision that is the newest now is the next lock, whatever is below it', async (t) => {
  for (const driver of ['secrets', 'configmaps'] as const) {
    for (const status of PENDING_STATUSES) {
      const of = release('api', driver);
      t.same(nextCommands(of, revisions(of, ['9 deployed', `10 ${status}`])), [
        'DELETE /api/v1/namespaces/prod/locks/api?revision=10',
      ]);
    }
  }
});

t.test('the commands work for releases kept in ConfigMaps, and for names with dots', async (t) => {
  const of = release('app.v2', 'configmaps');
  t.same(nextCommands(of, revisions(of, ['1 deployed', '2 failed'])), [
    'HELM_DRIVER=configmap helm upgrade app.v2 CHART -n prod',
    'HELM_DRIVER=configmap helm upgrade --install app.v2 CHART -n prod',
    'HELM_DRIVER=configmap helm rollback app.v2 1 -n prod',
  ]);
  t.same(nextCommands(of, []), [
    'HELM_DRIVER=configmap helm install app.v2 CHART -n prod',
    'HELM_DRIVER=configmap helm upgrade --install app.v2 CHART -n prod',
  ]);
});

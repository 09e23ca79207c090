/** Design §4.1, row by row. */
import t from 'tap';
import { type ParsedBody, parseAdmissionReview, type Review } from '../../src/gate/admission-review.ts';
import {
  AUTO_CLEAR,
  autoClearOf,
  type ClusterFacts,
  type Deploy,
  decide,
  type Policy,
  screen,
} from '../../src/gate/decision.ts';
import type { Client, Holder, Lock } from '../../src/gate/lock.ts';
import { DRIVERS, PENDING_STATUSES } from '../../src/helm/release.ts';
import { deployReview, fixture, fixtureNames, type WireReview } from '../fixtures/reviews.ts';
import { limits } from '../support/limits.ts';
import { revision } from '../support/revisions.ts';

const NOW = Date.parse('2026-11-22T13:00:00Z');

const POLICY: Policy = { autoClear: 'dead-holder', ...limits() };

function reviewOf(wire: unknown): Review {
  const parsed: ParsedBody = parseAdmissionReview(wire);
  if ('problem' in parsed) throw new Error(parsed.problem);
  return parsed.review;
}

function deployOf(wire: WireReview): Deploy {
  const screening = screen(reviewOf(wire), DRIVERS);
  if (screening.kind !== 'deploy') throw new Error(JSON.stringify(screening));
  return screening.deploy;
}

function lock(number: number, status: string, options: Partial<Lock & { uid: string }> = {}): Lock {
  return {
    revision: revision(number, status, {
      createdAt: NOW - 42_000,
      ...(options.uid !== undefined && { uid: options.uid }),
    }),
    holder: 'holder' in options ? options.holder : { user: 'alice', pod: undefined },
    ...(options.death && { death: options.death }),
  };
}

t.test('every review that a real API server sent for a real Helm command', async (t) => {
  for (const name of fixtureNames) {
    const pendingCreate = /-create-pending-/.test(name);
    t.equal(
      screen(reviewOf(fixture(name)), DRIVERS).kind,
      pendingCreate ? 'deploy' : 'allow',
      `${name} is ${pendingCreate ? 'a deploy' : 'let pass by rule 1'}`,
    );
  }
  t.ok(fixtureNames.length >= 41, 'there are fixtures');
});

t.test('a deploy is what its review says', async (t) => {
  const upgrade = fixture('helm4.1.4-upgrade-create-pending-upgrade');
  const { extra } = upgrade.request.userInfo;
  const [podUid] = extra?.['authentication.kubernetes.io/pod-uid'] ?? [];
  t.ok(podUid, 'the token lives in a pod');
  t.match(deployOf(upgrade), {
    release: { driver: 'secrets', namespace: 'prod', name: 'api-35' },
    revision: 2,
    status: 'pending-upgrade',
    uid: upgrade.request.object?.metadata.uid,
    dryRun: false,
    client: {
      user: 'system:serviceaccount:ci:runner',
      pod: { namespace: 'ci', name: 'runner-7f9c', uid: podUid },
    },
  });
  t.match(deployOf(fixture('helm4.1.4-configmap-install-create-pending-install')), {
    release: { driver: 'configmaps', namespace: 'prod', name: 'cmrel' },
    revision: 1,
    status: 'pending-install',
    client: { user: 'alice', pod: undefined },
  });
  t.match(
    deployOf(fixture('helm4.1.4-failedhook-create-pending-upgrade')),
    { release: { name: 'app.v2' }, revision: 2 },
    'trap 11: the release app.v2 is not revision 2 of app',
  );
  const long = 'a'.repeat(53);
  t.match(deployOf(deployReview({ release: long })), { release: { name: long } }, 'a name of 53 characters');
});

t.test('rule 1: not a Helm record, not CREATE, or not pending: allow', async (t) => {
  const rows: [string, (review: WireReview) => void][] = [
    ['another kind of object', (r) => Object.assign(r.request.resource, { resource: 'pods' })],
    ['a Secret of another API group', (r) => Object.assign(r.request.resource, { group: 'example.com' })],
    ['an UPDATE', (r) => Object.assign(r.request, { operation: 'UPDATE' })],
    ['a DELETE', (r) => Object.assign(r.request, { operation: 'DELETE', object: null })],
    ['a record without labels', (r) => Object.assign(r.request.object?.metadata ?? {}, { labels: null })],
    [
      'a Secret of another type that belongs to nobody',
      (r) => {
        Object.assign(r.request.object ?? {}, { type: 'Opaque' });
        setLabel(r, 'owner', undefined);
      },
    ],
    [
      'a ConfigMap with such labels and another name',
      (r) => {
        r.request.resource.resource = 'configmaps';
        rename(r, 'settings');
      },
    ],
  ];
  for (const [name, change] of rows) {
    t.same(screen(changed(change), DRIVERS), { kind: 'allow', warnings: [] }, name);
  }
});

t.test('a record that begins with any other status is a restore', async (t) => {
  const rows: [string, (review: WireReview) => void, object][] = [
    ['a backup', (r) => setLabel(r, 'status', 'deployed'), { status: 'deployed' }],
    [
      'a status that Helm does not have',
      (r) => setLabel(r, 'status', 'pending-lunch'),
      { status: 'pending-lunch' },
    ],
    ['no status', (r) => setLabel(r, 'status', undefined), { status: '' }],
    [
      'a label with the name of another release',
      (r) => {
        setLabel(r, 'status', 'deployed');
        setLabel(r, 'name', 'web');
      },
      { names: ['api', 'web'] },
    ],
    [
      'no label with its name',
      (r) => {
        setLabel(r, 'status', 'deployed');
        setLabel(r, 'name', undefined);
      },
      { names: ['api'] },
    ],
    [
      'a name that is none of a record',
      (r) => {
        setLabel(r, 'status', 'deployed');
        rename(r, 'my-secret');
      },
      { names: ['api'], revision: undefined },
    ],
  ];
  for (const [name, change, expected] of rows) {
    const restore = { driver: 'secrets', namespace: 'prod', names: ['api'], revision: 7, ...expected };
    t.match(screen(changed(change), DRIVERS), { kind: 'restore', restore }, name);
    t.same(screen(changed(change), ['configmaps']), { kind: 'allow', warnings: [] }, `${name}, not gated`);
  }
  const unseen: [string, (review: WireReview) => void][] = [
    ['without the owner, Helm does not find it', (r) => setLabel(r, 'owner', undefined)],
    [
      'no release can have that name',
      (r) => {
        setLabel(r, 'name', 'a-');
        rename(r, 'my-secret');
      },
    ],
    ['it has no namespace', (r) => Object.assign(r.request, { namespace: '' })],
  ];
  for (const [name, change] of unseen) {
    const review = changed((r) => {
      setLabel(r, 'status', 'deployed');
      change(r);
    });
    t.same(screen(review, DRIVERS), { kind: 'allow', warnings: [] }, name);
  }
});

t.test('rule 1: a driver that is not gated passes, and its user is told', async (t) => {
  const review = reviewOf(deployReview({ driver: 'configmaps' }));
  t.same(screen(review, ['secrets']), {
    kind: 'allow',
    warnings: ['lockkeeper does not guard releases kept in configmaps: add configmaps to LOCKKEEPER_DRIVERS'],
  });
  t.equal(screen(review, ['configmaps']).kind, 'deploy');
});

t.test('rule 2: a record that contradicts itself: deny 400, and say where', async (t) => {
  const rows: [string, (review: WireReview) => void, string][] = [
    ['a name that is no record name', (r) => rename(r, 'my-secret'), 'its name is not sh.helm.release.v1.'],
    ['a generated name', (r) => rename(r, 'sh.helm.release.v1.api.v7-x7k2p'), 'its name is not'],
    ['no release in the name', (r) => rename(r, 'sh.helm.release.v1..v7'), 'its name is not'],
    ['revision 0', (r) => rename(r, 'sh.helm.release.v1.api.v0'), 'its name is not'],
    ['a name for no release', (r) => rename(r, 'sh.helm.release.v1.a-.v7'), 'no release can have that name'],
    [
      'a name for no label',
      (r) => rename(r, `sh.helm.release.v1.${'a'.repeat(64)}.v7`),
      'no release can have that name',
    ],
    ['no owner', (r) => setLabel(r, 'owner', undefined), 'no label owner=helm'],
    ['another owner', (r) => setLabel(r, 'owner', 'flux'), 'no label owner=helm'],
    ['no release', (r) => setLabel(r, 'name', undefined), 'no label name, so it belongs to no release'],
    ['an empty release', (r) => setLabel(r, 'name', ''), 'no label name'],
    ['another release', (r) => setLabel(r, 'name', 'web'), 'its label name is "web"'],
    ['no revision', (r) => setLabel(r, 'version', undefined), 'its label version is undefined, which is no'],
    ['revision "seven"', (r) => setLabel(r, 'version', 'seven'), 'its label version is "seven", which is no'],
    ['revision -7', (r) => setLabel(r, 'version', '-7'), 'which is no revision'],
    ['revision 07', (r) => setLabel(r, 'version', '07'), 'which is no revision'],
    ['revision 2^53', (r) => setLabel(r, 'version', '9007199254740992'), 'which is no revision'],
    ['another revision', (r) => setLabel(r, 'version', '8'), 'its label version is 8'],
    ['no namespace', (r) => Object.assign(r.request, { namespace: '' }), 'it has no namespace'],
    ['no uid', (r) => Object.assign(r.request.object?.metadata ?? {}, { uid: '' }), 'it has no metadata.uid'],
  ];
  for (const [name, change, problem] of rows) {
    const screening = screen(changed(change), DRIVERS);
    t.match(screening, { kind: 'deny', denial: { code: 400 } }, name);
    const message = screening.kind === 'deny' ? screening.denial.message : '';
    t.ok(message.includes(problem), `${name}: ${message}`);
    t.match(message, /Nothing was changed\.$/, name);
  }
});

t.test('rules 3, 4 and 7', async (t) => {
  const deploy = deployOf(deployReview({ revision: 7, uid: 'mine' }));
  const none = { rival: undefined, below: undefined };
  const rows: [string, string, ClusterFacts, string][] = [
    [
      'rule 3',
      'revision 7 is pending for somebody else',
      { ...none, rival: lock(7, 'pending-upgrade') },
      'deny',
    ],
    [
      'rule 3',
      'and 6 is pending too',
      { rival: lock(7, 'pending-rollback'), below: lock(6, 'pending-upgrade') },
      'deny',
    ],
    [
      'rule 3',
      'revision 7 is this very record',
      { ...none, rival: lock(7, 'pending-upgrade', { uid: 'mine' }) },
      'allow',
    ],
    ['rule 3', 'others are at 9 already', { ...none, rival: lock(9, 'pending-upgrade') }, 'deny'],
    ['rule 3', 'and has finished it since', { ...none, rival: lock(7, 'deployed') }, 'deny'],
    ['rule 4', 'there is no revision below', none, 'allow'],
    ['rule 4', '6 is deployed', { ...none, below: lock(6, 'deployed') }, 'allow'],
    ['rule 4', '6 failed', { ...none, below: lock(6, 'failed') }, 'allow'],
    ['rule 4', '6 is superseded', { ...none, below: lock(6, 'superseded') }, 'allow'],
    ['rule 4', '6 is uninstalled', { ...none, below: lock(6, 'uninstalled') }, 'allow'],
    ['rule 4', '6 has no status', { ...none, below: lock(6, '') }, 'allow'],
    ['rule 7', '6 is being uninstalled', { ...none, below: lock(6, 'uninstalling') }, 'hold'],
    ['rule 7', '6 is pending-install', { ...none, below: lock(6, 'pending-install') }, 'hold'],
    ['rule 7', '6 is pending-upgrade', { ...none, below: lock(6, 'pending-upgrade') }, 'hold'],
    ['rule 7', '6 is pending-rollback', { ...none, below: lock(6, 'pending-rollback') }, 'hold'],
    [
      'rule 7',
      '3 is pending and the newest, after a gap',
      { ...none, below: lock(3, 'pending-upgrade') },
      'hold',
    ],
  ];
  for (const [rule, given, facts, expected] of rows) {
    t.equal(decide(deploy, facts, POLICY, NOW).kind, expected, `${rule}: ${given}: ${expected}`);
  }
});

t.test('an uninstall without a sign of life holds nobody, and is never cleared', async (t) => {
  const below = lock(6, 'uninstalling');
  for (const status of PENDING_STATUSES) {
    const deploy = deployOf(deployReview({ revision: 7, status }));
    for (const autoClear of AUTO_CLEAR) {
      const kinds = [43, 42].map(
        (staleAfterSeconds) =>
          decide(deploy, { rival: undefined, below }, { autoClear, ...limits(staleAfterSeconds) }, NOW).kind,
      );
      t.same(kinds, ['hold', 'allow'], `${status}, ${autoClear}`);
    }
  }
});

t.test('rule 3 says who was first', async (t) => {
  const deploy = deployOf(deployReview({ revision: 7 }));
  for (const [number, status, way] of [
    [7, 'pending-upgrade', 'When the other has ended, run your command again.'],
    [7, 'deployed', 'If yours is still wanted, run your command again.'],
    [9, 'pending-rollback', 'When the other has ended, run your command again.'],
  ] as const) {
    t.same(decide(deploy, { rival: lock(number, status), below: undefined }, POLICY, NOW), {
      kind: 'deny',
      denial: {
        code: 409,
        message:
          'release prod/api: another deploy was first. Yours was to be revision 7, and there is revision ' +
          `${number} (${status}, 42s, alice) already. Nothing was changed by yours. ${way} To see what the other ` +
          'did: helm history api -n prod',
      },
    });
  }
});

t.test('rule 7 names the lock that is waited for', async (t) => {
  const below = lock(6, 'pending-upgrade');
  t.match(decide(deployOf(deployReview()), { rival: undefined, below }, POLICY, NOW), {
    kind: 'hold',
    lock: below,
    judgement: { verdict: 'live' },
  });
});

t.test('rule 5: what is cleared, by what comes to the gate and by LOCKKEEPER_AUTO_CLEAR', async (t) => {
  const rows = [
    // verdict, R is ............... off ... dead-holder  expired
    ['live', 'pending-install', ['hold', 'hold', 'hold']],
    ['live', 'pending-upgrade', ['hold', 'hold', 'hold']],
    ['live', 'pending-rollback', ['hold', 'hold', 'hold']],
    ['expired', 'pending-install', ['hold', 'hold', 'clear']],
    ['expired', 'pending-upgrade', ['hold', 'hold', 'clear']],
    ['expired', 'pending-rollback', ['hold', 'clear', 'clear']],
    ['dead-holder', 'pending-install', ['hold', 'clear', 'clear']],
    ['dead-holder', 'pending-upgrade', ['hold', 'clear', 'clear']],
    ['dead-holder', 'pending-rollback', ['hold', 'clear', 'clear']],
  ] as const;
  for (const [verdict, status, expected] of rows) {
    const deploy = deployOf(deployReview({ revision: 7, status }));
    const staleAfterSeconds = verdict === 'expired' ? 42 : 43;
    const death = { how: 'is gone', provenAt: NOW - 11_000 };
    for (const locked of PENDING_STATUSES) {
      const below = lock(
        6,
        locked,
        verdict === 'dead-holder' ? { holder: { ...runner('pod-1'), podKind: 'job' }, death } : {},
      );
      const kinds = AUTO_CLEAR.map((autoClear) => {
        const decision = decide(
          deploy,
          { rival: undefined, below },
          { autoClear, ...limits(staleAfterSeconds) },
          NOW,
        );
        t.match(decision, { lock: below, judgement: { verdict } }, `${verdict}: the lock and its verdict`);
        return decision.kind;
      });
      t.same(kinds, expected, `${status} over ${verdict} ${locked}: ${expected}`);
    }
  }
});

t.test('the pod of some holders says that its locks are left to another keeper', async (t) => {
  const policy = { autoClear: 'expired' } as const;
  t.equal(autoClearOf(lock(6, 'pending-upgrade', {}), policy), 'expired');
  const holder = { ...runner('pod-1'), neverAutoClear: true as const };
  t.equal(autoClearOf(lock(6, 'pending-upgrade', { holder }), policy), 'off');
});

t.test('a job pod that left its own revision pending may roll it back, and no other client', async (t) => {
  const job = { ...runner('pod-1'), podKind: 'job' } as const;
  const rows: [string, Client, Holder | undefined, string][] = [
    ['the same job pod', runner('pod-1'), job, 'allow'],
    ['the same gateway pod', runner('pod-1'), { ...job, podKind: 'gateway' }, 'hold'],
    ['the same pod, of which nothing is known', runner('pod-1'), runner('pod-1'), 'hold'],
    ['another pod of that name', runner('pod-2'), job, 'hold'],
    ['another user in the same pod', { ...runner('pod-1'), user: 'alice' }, job, 'hold'],
    ['a person of that name', { user: runner('').user, pod: undefined }, job, 'hold'],
    ['a pod over a person’s', runner('pod-1'), { user: 'alice', pod: undefined }, 'hold'],
    ['a person over their own', { user: 'alice', pod: undefined }, { user: 'alice', pod: undefined }, 'hold'],
    ['a pod over nobody knows whose', runner('pod-1'), undefined, 'hold'],
  ];
  for (const [given, client, holder, expected] of rows) {
    const below = lock(6, 'pending-upgrade', { holder });
    const rollback = deployOf(deployReview({ revision: 7, status: 'pending-rollback' }));
    const { kind } = decide({ ...rollback, client }, { rival: undefined, below }, POLICY, NOW);
    t.equal(kind, expected, `${given}: ${expected}`);
    const upgrade = deployOf(deployReview({ revision: 7, status: 'pending-upgrade' }));
    t.equal(
      decide({ ...upgrade, client }, { rival: undefined, below }, POLICY, NOW).kind,
      'hold',
      `${given}: an upgrade waits`,
    );
  }
});

function runner(uid: string): Client {
  return {
    user: 'system:serviceaccount:ci:runner',
    pod: { namespace: 'ci', name: 'runner-7f9c', uid },
  };
}

t.test('rule 5 comes after rules 3 and 4: what is no lock is not cleared', async (t) => {
  const deploy = deployOf(deployReview({ revision: 7, status: 'pending-rollback' }));
  const policy: Policy = { autoClear: 'expired', ...limits(1) };
  const rows: [string, ClusterFacts, string][] = [
    [
      'another one is at 7 over a stale 6',
      { rival: lock(7, 'pending-rollback'), below: lock(6, 'pending-upgrade') },
      'deny',
    ],
    ['6 is old and deployed', { rival: undefined, below: lock(6, 'deployed') }, 'allow'],
    ['6 is old and failed', { rival: undefined, below: lock(6, 'failed') }, 'allow'],
  ];
  for (const [given, facts, expected] of rows) {
    t.equal(decide(deploy, facts, policy, NOW).kind, expected, `${given}: ${expected}`);
  }
});

function changed(change: (review: WireReview) => void): Review {
  const wire = deployReview();
  change(wire);
  return reviewOf(wire);
}

function setLabel(review: WireReview, label: string, value: string | undefined): void {
  const labels = review.request.object?.metadata.labels ?? {};
  if (value === undefined) delete labels[label];
  else labels[label] = value;
}

function rename(review: WireReview, name: string): void {
  review.request.name = name;
  if (review.request.object) review.request.object.metadata.name = name;
}

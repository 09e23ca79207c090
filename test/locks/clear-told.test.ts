/** Who hears of a lock that was cleared: the log, the metrics, and `kubectl get events`. */
import t from 'tap';
import { STRATEGIES } from '../../src/gate/clearing.ts';
import { DRIVERS } from '../../src/helm/release.ts';
import { lockedRelease, MINUTE, startClearing } from '../support/clearing.ts';

const RUNNER = { user: 'system:serviceaccount:ci:runner', pod: undefined };

for (const driver of DRIVERS) {
  for (const strategy of STRATEGIES) {
    for (const [minutes, force, forced] of [
      [60, false, false],
      [60, true, false],
      [5, true, true],
    ] as const) {
      const name = `a lock in ${driver}, ${minutes} minutes old, is cleared by ${strategy}${force ? ', by force' : ''}`;
      t.test(name, async (t) => {
        const clearing = await startClearing(t);
        const { kind, metadata } = await lockedRelease(clearing, { driver, minutes });
        clearing.holders.set(metadata.uid, RUNNER);
        t.match(await clearing.clear({ strategy, force, reason: 'it is dead', trigger: 'deploy' }), {
          kind: 'cleared',
          lock: { holder: RUNNER },
        });

        const verdict = forced ? 'live' : 'expired';
        const because = forced ? /^created 5m/ : /^no sign of life for 1h/;
        const lines = clearing.logs.lines.map(({ time: _time, ...line }) => line);
        t.match(lines, [{ because }], 'then there is one log line');
        t.same(
          lines,
          [
            {
              level: 30,
              namespace: 'prod',
              release: 'api',
              driver,
              lock: { revision: 6, status: 'pending-upgrade', holder: RUNNER.user },
              strategy,
              trigger: 'deploy',
              by: 'alice',
              forced,
              verdict,
              because: lines[0]?.because,
              reason: 'it is dead',
              msg: 'cleared',
            },
          ],
          'with these fields and no others',
        );

        t.match(clearing.cleared, [{ strategy, trigger: 'deploy', by: 'alice' }], 'it is counted once');
        t.equal(clearing.cleared.length, 1);

        const [event, ...others] = await clearing.events();
        t.same(others, [], 'and there is one Event');
        t.match(event, {
          type: forced ? 'Warning' : 'Normal',
          reason: 'Cleared',
          source: { component: 'lockkeeper' },
          count: 1,
        });
        t.same(event?.involvedObject, {
          apiVersion: 'v1',
          kind,
          namespace: 'prod',
          name: 'sh.helm.release.v1.api.v6',
          uid: metadata.uid,
        });
        const how = forced ? 'Cleared by force' : 'Cleared';
        const message = new RegExp(
          `^revision 6 \\(pending-upgrade\\) of release api: ${how} by alice at \\S+, was pending-upgrade: .+; it is dead, by ${strategy}$`,
        );
        t.match(event?.message, message);
        const at = Date.parse(String(event?.lastTimestamp));
        t.ok(Math.abs(at - clearing.cluster.clock.now()) < MINUTE / 2, 'by the clock of the cluster');
      });
    }
  }
}

t.test('an Event that cannot be written changes nothing but a log line', async (t) => {
  for (const strategy of STRATEGIES) {
    for (const [name, fault, reason] of [
      ['it is refused', { status: 403 }, /^KubernetesError: POST .*\/namespaces\/prod\/events: 403/],
      ['its answer is lost', { loseAnswer: true }, /^Error: POST .*\/namespaces\/prod\/events: /],
    ] as const) {
      const clearing = await startClearing(t);
      await lockedRelease(clearing);
      clearing.on('POST', () => fault);
      t.match(await clearing.clear({ strategy }), { kind: 'cleared' }, `${strategy}: ${name}`);
      t.equal(clearing.cleared.length, 1);
      t.same(clearing.logs.messages(), ['cleared', 'no Event could be recorded']);
      t.match(clearing.logs.lines[1], { level: 40, namespace: 'prod', release: 'api', reason });
    }
  }
});

t.test('nothing is told of a lock that was not cleared', async (t) => {
  const clearing = await startClearing(t);
  t.same(await clearing.clear(), { kind: 'free' });
  await lockedRelease(clearing, { minutes: 5 });
  t.match(await clearing.clear(), { kind: 'live' });
  t.match(await clearing.clear({ revision: 5 }), { kind: 'other' });
  t.same([clearing.logs.lines, clearing.cleared, await clearing.events()], [[], [], []]);
});

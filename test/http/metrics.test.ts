/** The metrics of locks, as Prometheus reads them. */
import t from 'tap';
import type { Judgement } from '../../src/gate/lock.ts';
import { buildPlainApp } from '../../src/http/app.ts';
import { createMetrics } from '../../src/http/metrics.ts';
import { testLog } from '../support/log.ts';

function metricsOf(verdicts: () => Promise<readonly Judgement['verdict'][]>, isReady = () => true) {
  return createMetrics({
    isReady,
    heldNow: () => 0,
    verdicts,
    certificates: () => [],
    lastEvents: () => [],
  });
}

/** The samples of one name. */
function samples(text: string, name: string): string[] {
  return text.split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
}

t.test('locks are counted by verdict, at each scrape, and none is a zero', async (t) => {
  let verdicts: readonly Judgement['verdict'][] = ['live', 'expired', 'live', 'dead-holder'];
  const metrics = metricsOf(async () => verdicts);
  const locks = async () => samples(await metrics.text(), 'lockkeeper_locks');
  t.strictSame(await locks(), [
    'lockkeeper_locks{verdict="live"} 2',
    'lockkeeper_locks{verdict="ending"} 0',
    'lockkeeper_locks{verdict="dead-holder"} 1',
    'lockkeeper_locks{verdict="expired"} 1',
  ]);
  verdicts = ['expired'];
  t.strictSame(await locks(), [
    'lockkeeper_locks{verdict="live"} 0',
    'lockkeeper_locks{verdict="ending"} 0',
    'lockkeeper_locks{verdict="dead-holder"} 0',
    'lockkeeper_locks{verdict="expired"} 1',
  ]);
  verdicts = [];
  t.strictSame(await locks(), [
    'lockkeeper_locks{verdict="live"} 0',
    'lockkeeper_locks{verdict="ending"} 0',
    'lockkeeper_locks{verdict="dead-holder"} 0',
    'lockkeeper_locks{verdict="expired"} 0',
  ]);
});

t.test('given the cluster cannot be read, then locks are left out, and the rest is there', async (t) => {
  let isUp = true;
  const metrics = metricsOf(async () => {
    if (isUp) return ['live'];
    throw new Error('down');
  });
  const plain = buildPlainApp({
    readiness: { reasons: () => [], notes: () => [] },
    metrics,
    log: testLog().log,
  });
  t.teardown(() => plain.close());
  const scrape = async () => (await plain.inject('/metrics')).body;
  t.equal(samples(await scrape(), 'lockkeeper_locks').length, 4);
  isUp = false;
  const text = await scrape();
  t.strictSame(samples(text, 'lockkeeper_locks'), [], 'an old number would be a wrong one');
  t.strictSame(samples(text, 'lockkeeper_held_requests'), ['lockkeeper_held_requests 0']);
  isUp = true;
  t.equal(samples(await scrape(), 'lockkeeper_locks').length, 4);
});

t.test('whether it is ready is told at each scrape, also while it is not', async (t) => {
  let isReady = true;
  const metrics = metricsOf(
    async () => [],
    () => isReady,
  );
  t.strictSame(samples(await metrics.text(), 'lockkeeper_ready'), ['lockkeeper_ready 1']);
  isReady = false;
  t.strictSame(samples(await metrics.text(), 'lockkeeper_ready'), ['lockkeeper_ready 0']);
});

t.test('cleared locks are counted, by how and by what asked for it', async (t) => {
  const metrics = metricsOf(async () => []);
  const request = { strategy: 'mark-failed', trigger: 'rest', by: 'alice', reason: 'unbounded' };
  metrics.cleared(request);
  metrics.cleared(request);
  metrics.cleared({ strategy: 'mark-failed', trigger: 'deploy' });
  metrics.cleared({ strategy: 'delete', trigger: 'rest' });
  t.strictSame(samples(await metrics.text(), 'lockkeeper_locks_cleared_total'), [
    'lockkeeper_locks_cleared_total{strategy="mark-failed",trigger="rest"} 2',
    'lockkeeper_locks_cleared_total{strategy="mark-failed",trigger="deploy"} 1',
    'lockkeeper_locks_cleared_total{strategy="delete",trigger="rest"} 1',
  ]);
});

t.test('a write that ends a lock is counted, whatever status it names', async (t) => {
  const metrics = metricsOf(async () => []);
  metrics.ended({ relation: 'same-client', status: 'deployed' });
  metrics.ended({ relation: 'another-client', status: 'lunch' });
  t.strictSame(samples(await metrics.text(), 'lockkeeper_locks_ended_total'), [
    'lockkeeper_locks_ended_total{relation="same-client",status="deployed"} 1',
    'lockkeeper_locks_ended_total{relation="another-client",status="other"} 1',
  ]);
});

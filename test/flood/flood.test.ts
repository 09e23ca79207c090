/** The short form of `npm run flood`, without a look at clocks. */
import t from 'tap';
import { FLOODS } from './floods.ts';
import { measure } from './measure.ts';
import { floodedReplica } from './replica.ts';

const DEPLOYS = 3;

/** What one replica takes for all of them, one after the other, over what it has at its start; V8 keeps some of it. */
const MORE_MIB = 400;

t.test('given each flood, then others deploy meanwhile, health is told, and nothing stays', async (t) => {
  const replica = await floodedReplica(t, { LOCKKEEPER_HOLD_SECONDS: '1' });
  const { residentMiB: atStart } = await replica.healthy();
  for (const flood of FLOODS) {
    const { steps, peakMiB, after } = await measure(flood, replica, {
      size: flood.size.short,
      deploys: DEPLOYS,
    });
    t.ok(steps >= flood.size.short, `${flood.name}: ${steps} steps`);
    const [peak, rest] = [peakMiB, after.residentMiB].map((mib) => (mib - atStart).toFixed());
    t.ok(Number(peak) < MORE_MIB, `${peak} MiB more at most, ${rest} afterwards`);
  }
});

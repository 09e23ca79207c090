import t from 'tap';
import { CLI_NODE, demandNode, SERVICE_NODE } from '../../src/cli/node-version.ts';

t.test('a Node that is too old is told in one sentence', async (t) => {
  for (const [least, running, isFine] of [
    [CLI_NODE, '20.0.0', true],
    [CLI_NODE, '24.21.0', true],
    [CLI_NODE, '18.20.8', false],
    [SERVICE_NODE, '20.20.2', false],
    [SERVICE_NODE, '22.0.0', true],
  ] as const) {
    const demand = () => demandNode('lockkeeper', least, running);
    if (isFine) t.doesNotThrow(demand, running);
    else {
      const message = `lockkeeper needs Node ${least} or later, and this is Node ${running}`;
      t.throws(demand, { code: 1, message });
    }
  }
});

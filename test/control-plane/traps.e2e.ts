/**
 * The traps of the design, §3, asked of the real API server and real Helm. Each name says which trap it is, how the
 * design knows it, and whether it holds; a trap that does not is told as it is.
 */
import t from 'tap';
import { trapsOfApiServer } from './traps-of-api-server.ts';
import { trapsOfPending } from './traps-of-pending.ts';
import { trapsOfWrites } from './traps-of-writes.ts';
import { trapsWorld } from './traps-world.ts';

// Most of the time is spent waiting for Helm and for seconds that must pass.
t.jobs = 8;

const w = await trapsWorld(t);
trapsOfPending(t, w);
trapsOfWrites(t, w);
trapsOfApiServer(t, w);

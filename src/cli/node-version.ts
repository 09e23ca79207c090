/** Which Node runs what. The command line needs less than the service, because a runner has the Node that it has. */
import { EXIT, Failure } from './exit.ts';

/** The oldest release line that the command line is tried with. */
export const CLI_NODE = 20;

/** The oldest that has all that the service uses. */
export const SERVICE_NODE = 22;

/** @throws Failure if the Node that runs, such as `20.20.2`, is too old */
export function demandNode(what: string, least: number, running: string): void {
  if (Number.parseInt(running, 10) >= least) return;
  throw new Failure(EXIT.failed, `${what} needs Node ${least} or later, and this is Node ${running}`);
}

/** What the gate says to a Helm that waits, for the person who waits for Helm: once, and again when it changes. */
import { tellOnce } from '../once.ts';

/** In front of the words of a webhook; of any other refusal, there is nothing. */
const WEBHOOK = /^.*admission webhook "[^"]*" denied the request: /;

export function createTeller(note: (line: string) => void): (message: string) => void {
  const tell = tellOnce(note);
  return (message) => tell(`Helm waits: ${message.replace(WEBHOOK, '')}`);
}

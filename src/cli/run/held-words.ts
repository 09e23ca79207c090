/** What the gate says to a Helm that waits, for the person who waits for Helm: once, and again when it changes. */

/** Ages and rests of time change with every answer, and say nothing new. */
const DURATION = /\b(\d+(\.\d+)?(d|h|ms|m|s))+\b/g;

/** In front of the words of a webhook; of any other refusal, there is nothing. */
const WEBHOOK = /^.*admission webhook "[^"]*" denied the request: /;

export function createTeller(note: (line: string) => void): (message: string) => void {
  let told = '';
  return (message) => {
    const words = message.replace(WEBHOOK, '');
    const essence = words.replaceAll(DURATION, '');
    if (essence === told) return;
    told = essence;
    note(`Helm waits: ${words}`);
  };
}

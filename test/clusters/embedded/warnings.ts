/**
 * Warnings for the client, as headers. Like the real API server, this drops what is empty, a repetition, or
 * has control characters: a warning of two lines reaches nobody. Unlike it, long ones are not cut.
 * @see https://github.com/kubernetes/apiserver/blob/master/pkg/endpoints/filters/warning.go
 */
const CONTROL = /\p{Cc}/u;

/** RFC 7234 §5.5; 299 is "miscellaneous persistent warning", and the agent is unknown. */
export function warningHeaders(texts: readonly string[]): string[] {
  return [...new Set(texts)].filter((text) => text !== '' && !CONTROL.test(text)).map(headerOf);
}

/** UTF-8, as Go sends and reads it; Node takes one character for each byte. */
function headerOf(text: string): string {
  const quoted = text.replaceAll(/["\\]/g, '\\$&');
  return Buffer.from(`299 - "${quoted}"`).toString('latin1');
}

/** RFC 3339 in whole seconds, as the API server stamps its objects. @param ms milliseconds since 1970 */
export function timestamp(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');
}

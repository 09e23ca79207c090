/** How clients ended, in the words of whoever ended them, sorted: it shows that a campaign met what it is about. */
const KINDS: readonly (readonly [kind: string, words: RegExp])[] = [
  ['deployed', /^deployed$/],
  ['failed', /^failed$/],
  ['uninstalled', /^uninstalled$|is already deleted/],
  ['restored', /^restored$/],
  ['killed', /^killed$|^$/],
  ['refused by the gate', /"gate\.lockkeeper\.dev" denied/],
  ['refused at an update', /"updates\.lockkeeper\.dev" denied/],
  ['refused by the guard', /"guard\.lockkeeper\.dev" denied/],
  ['refused by the fence', /lockkeeper-fence/],
  ['the gate was out of reach', /failed calling webhook/],
  ['another operation is in progress', /another operation/],
  ['second at storage', /already exists/],
  ['its record was gone', /not found/],
  ['its token was good for nothing', /Unauthorized/],
  [
    'the API server was away',
    /ECONNREFUSED|ECONNRESET|socket hang up|unreachable|connection re|EOF|context canceled/,
  ],
  ['its rights were not known yet', /forbidden/],
  ['nothing to do', /nothing to roll back|has no .*(releases|version)|release: not found/],
  ['failed', /upgrade failed|UPGRADE FAILED|INSTALLATION FAILED|has been uninstalled/],
];

export function kindOfEnding(words: string): string {
  return KINDS.find(([, pattern]) => pattern.test(words))?.[0] ?? `other: ${words.slice(0, 120)}`;
}

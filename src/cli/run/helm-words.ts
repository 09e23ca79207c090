/**
 * The words of a Helm command line, told apart as pflag does it: which are flags, which of them have a value, and which
 * are names. Flags of every Helm from 3.8 to 4.3 for the commands that write a record; one that is not here has no value.
 */

const WITH_VALUE: ReadonlySet<string> = new Set([
  ...[
    'burst-limit',
    'kube-apiserver',
    'kube-as-group',
    'kube-as-user',
    'kube-ca-file',
    'kube-context',
    'kube-token',
  ],
  ...['kube-tls-server-name', 'kubeconfig', 'namespace', 'qps', 'registry-config', 'repository-cache'],
  ...[
    'repository-config',
    'color',
    'colour',
    'content-cache',
    'ca-file',
    'cascade',
    'cert-file',
    'description',
  ],
  ...['history-max', 'key-file', 'keyring', 'labels', 'name-template', 'output', 'password', 'post-renderer'],
  ...[
    'post-renderer-args',
    'repo',
    'server-side',
    'set',
    'set-file',
    'set-json',
    'set-literal',
    'set-string',
  ],
  ...['timeout', 'username', 'values', 'version'],
]);

const SHORT: Readonly<Record<string, string>> = {
  n: 'namespace',
  f: 'values',
  l: 'labels',
  o: 'output',
  h: 'help',
  i: 'install',
  g: 'generate-name',
};

export type Word =
  | { readonly kind: 'name'; readonly text: string; readonly raw: readonly string[] }
  | {
      readonly kind: 'flag';
      readonly name: string;
      /** Undefined when there is none, as for `--wait`. */
      readonly value: string | undefined;
      /** As it stands on the command line. */
      readonly raw: readonly string[];
    };

export function readWords(args: readonly string[]): Word[] {
  const words: Word[] = [];
  const rest = [...args];
  for (let text = rest.shift(); text !== undefined; text = rest.shift()) {
    if (text === '--')
      return [...words, ...rest.map((name): Word => ({ kind: 'name', text: name, raw: [name] }))];
    if (text.startsWith('--')) words.push(longFlag(text, rest));
    else if (text.startsWith('-') && text.length > 1) words.push(...shortFlags(text, rest));
    else words.push({ kind: 'name', text, raw: [text] });
  }
  return words;
}

function longFlag(text: string, rest: string[]): Word {
  const equals = text.indexOf('=');
  if (equals !== -1) {
    return { kind: 'flag', name: text.slice(2, equals), value: text.slice(equals + 1), raw: [text] };
  }
  const name = text.slice(2);
  const value = WITH_VALUE.has(name) ? rest.shift() : undefined;
  return { kind: 'flag', name, value, raw: value === undefined ? [text] : [text, value] };
}

/** `-n prod`, `-nprod`, `-n=prod`, and `-in prod`. */
function shortFlags(text: string, rest: string[]): Word[] {
  const words: Word[] = [];
  for (let index = 1; index < text.length; index += 1) {
    const letter = text[index] as string;
    const name = SHORT[letter] ?? letter;
    if (!WITH_VALUE.has(name)) {
      words.push({ kind: 'flag', name, value: undefined, raw: [`-${letter}`] });
      continue;
    }
    const attached = text.slice(index + 1).replace(/^=/, '');
    const value = attached === '' ? rest.shift() : attached;
    words.push({ kind: 'flag', name, value, raw: [`-${letter}`, value ?? ''] });
    break;
  }
  return words;
}

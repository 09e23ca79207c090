/**
 * Reads a Dockerfile, as far as ours goes. Whatever it does not know it refuses, so that what is rehearsed is what the file
 * says: https://docs.docker.com/reference/dockerfile/
 */

export interface Stage {
  /** As `AS` names it; the last stage needs none. */
  readonly name: string | undefined;
  /** The image that it begins with. */
  readonly base: string;
  readonly steps: readonly Step[];
}

export type Step =
  | { readonly kind: 'workdir'; readonly path: string }
  | { readonly kind: 'copy'; readonly from: string | undefined; readonly paths: readonly string[] }
  | { readonly kind: 'run'; readonly command: string }
  | { readonly kind: 'env'; readonly values: Values }
  | { readonly kind: 'label'; readonly values: Values }
  | { readonly kind: 'expose'; readonly ports: readonly number[] }
  | { readonly kind: 'user'; readonly uid: number; readonly gid: number }
  | { readonly kind: 'entrypoint'; readonly words: readonly string[] }
  | { readonly kind: 'cmd'; readonly words: readonly string[] };

export type Values = Readonly<Record<string, string>>;

/** @throws Error with the instruction that is not known, or has a form that is not */
export function parseDockerfile(text: string): Stage[] {
  const stages: { name: string | undefined; base: string; steps: Step[] }[] = [];
  for (const line of instructions(text)) {
    const [, keyword = '', rest = ''] = /^(\S+)\s*(.*)$/.exec(line) ?? [];
    if (keyword === 'FROM') {
      const [, base = '', name] = matched(/^(\S+)(?: AS (\S+))?$/, rest, line);
      stages.push({ name, base, steps: [] });
      continue;
    }
    const parse = STEPS[keyword];
    if (parse === undefined) throw new Error(`no such instruction is rehearsed: ${line}`);
    const stage = stages.at(-1);
    if (stage === undefined) throw new Error(`it stands before the first FROM: ${line}`);
    stage.steps.push(parse(rest, line));
  }
  if (stages.length === 0) throw new Error('there is no FROM');
  return stages;
}

/** Without comments, which may also stand between the lines of one instruction; those lines are joined. */
function instructions(text: string): string[] {
  const lines = text.split('\n').filter((line) => !/^\s*(#|$)/.test(line));
  return lines
    .join('\n')
    .replace(/\\\n\s*/g, '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
}

const STEPS: Readonly<Record<string, (rest: string, line: string) => Step>> = {
  WORKDIR: (rest, line) => ({ kind: 'workdir', path: matched(/^\/[\w./-]+$/, rest, line)[0] as string }),
  COPY(rest, line) {
    const [, from, paths = ''] = matched(/^(?:--from=(\S+) )?([^-"[*?$][^"*?$]*)$/, rest, line);
    const words = paths.split(/\s+/);
    if (words.length < 2) throw new Error(`it names no destination: ${line}`);
    return { kind: 'copy', from, paths: words };
  },
  RUN: (rest, line) => ({ kind: 'run', command: matched(/^[^-["$].*$/, rest, line)[0] as string }),
  ENV: (rest, line) => ({ kind: 'env', values: values(rest, line) }),
  LABEL: (rest, line) => ({ kind: 'label', values: values(rest, line) }),
  EXPOSE: (rest, line) => ({
    kind: 'expose',
    ports: (matched(/^\d+(\s+\d+)*$/, rest, line)[0] as string).split(/\s+/).map(Number),
  }),
  USER(rest, line) {
    const [, uid, gid] = matched(/^(\d+):(\d+)$/, rest, line);
    return { kind: 'user', uid: Number(uid), gid: Number(gid) };
  },
  ENTRYPOINT: (rest, line) => ({ kind: 'entrypoint', words: words(rest, line) }),
  CMD: (rest, line) => ({ kind: 'cmd', words: words(rest, line) }),
};

function matched(pattern: RegExp, rest: string, line: string): RegExpExecArray {
  const match = pattern.exec(rest);
  if (match === null) throw new Error(`this form is not rehearsed: ${line}`);
  return match;
}

/** The form that needs no shell. */
function words(rest: string, line: string): string[] {
  return JSON.parse(matched(/^\[("[^"\\]*"(, )?)+\]$/, rest, line)[0]);
}

/** `NAME=word OTHER="some words"`, with nothing in them that a shell would take for more. */
function values(rest: string, line: string): Values {
  matched(/^([\w.]+=("[^"\\$]*"|[^\s"'\\$]+)(\s+|$))+$/, rest, line);
  const pairs = [...rest.matchAll(/([\w.]+)=(?:"([^"]*)"|(\S+))/g)];
  return Object.fromEntries(pairs.map(([, name, quoted, bare]) => [name, quoted ?? bare]));
}

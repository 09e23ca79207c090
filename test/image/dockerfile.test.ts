/** What of a Dockerfile is understood, and that the rest is refused. */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { parseDockerfile, type Step } from './dockerfile.ts';

const ROOT = new URL('../../', import.meta.url);

function stepsOf(...lines: string[]): readonly Step[] {
  return parseDockerfile(['FROM scratch', ...lines].join('\n'))[0]?.steps ?? [];
}

t.test('each instruction', async (t) => {
  const cases: [string, Step][] = [
    ['WORKDIR /app', { kind: 'workdir', path: '/app' }],
    ['COPY a b ./', { kind: 'copy', from: undefined, paths: ['a', 'b', './'] }],
    ['COPY --from=build /x/y z', { kind: 'copy', from: 'build', paths: ['/x/y', 'z'] }],
    ['RUN npm ci --omit=dev', { kind: 'run', command: 'npm ci --omit=dev' }],
    ['ENV A=b C="d e"', { kind: 'env', values: { A: 'b', C: 'd e' } }],
    ['LABEL a.b="c d"', { kind: 'label', values: { 'a.b': 'c d' } }],
    ['EXPOSE 8443 9090', { kind: 'expose', ports: [8443, 9090] }],
    ['USER 65532:65532', { kind: 'user', uid: 65532, gid: 65532 }],
    ['ENTRYPOINT ["/bin/a", "b"]', { kind: 'entrypoint', words: ['/bin/a', 'b'] }],
    ['CMD ["a"]', { kind: 'cmd', words: ['a'] }],
  ];
  for (const [line, step] of cases) t.same(stepsOf(line), [step], line);
  t.same(
    stepsOf('# about it', 'LABEL a=b \\', '  # of c', '  c="d"', '', '  # the end'),
    [{ kind: 'label', values: { a: 'b', c: 'd' } }],
    'comments, and lines that go on',
  );
});

t.test('what it does not know, it refuses', async (t) => {
  for (const line of [
    'HEALTHCHECK CMD curl localhost',
    'ADD https://example.com/x x',
    'ARG VERSION',
    'run npm ci',
    'WORKDIR app',
    'COPY --chown=1 a b',
    'COPY a* b',
    'COPY ["a", "b"]',
    'COPY a',
    'RUN --mount=type=cache,target=/x npm ci',
    'RUN ["npm", "ci"]',
    'RUN $COMMAND',
    'ENV A b',
    'ENV A=$B',
    'EXPOSE 8443/tcp',
    'USER node',
    'USER 65532',
    'CMD node dist/main.js',
  ]) {
    t.throws(() => stepsOf(line), { message: new RegExp(line.slice(0, 8).replace(/\W/g, '.')) }, line);
  }
  t.throws(() => parseDockerfile('WORKDIR /a\nFROM b'), /before the first FROM/);
  t.throws(() => parseDockerfile('# nothing'), /there is no FROM/);
  t.throws(() => parseDockerfile('FROM --platform=linux/amd64 a'), /this form is not rehearsed/);
});

t.test('ours', async (t) => {
  const stages = parseDockerfile(readFileSync(new URL('Dockerfile', ROOT), 'utf8'));
  const { version, description, license } = JSON.parse(readFileSync(new URL('package.json', ROOT), 'utf8'));
  const last = stages.at(-1);
  const find = (kind: Step['kind']) => last?.steps.filter((step) => step.kind === kind);
  t.match(
    find('label'),
    [
      {
        values: {
          'org.opencontainers.image.version': version,
          'org.opencontainers.image.description': description,
          'org.opencontainers.image.licenses': license,
          'org.opencontainers.image.base.name': last?.base,
        },
      },
    ],
    'its labels say what package.json and FROM say',
  );
  t.same(find('run'), [], 'its last stage runs nothing: there is no shell');
  t.match(last?.base, /^gcr\.io\/distroless\//);
  t.match(find('user'), [{ uid: 65532, gid: 65532 }], 'nor is it root');
});

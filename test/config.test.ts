/** Design §6: the environment, and what people read when it is wrong. */
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ConfigError, readConfig } from '../src/config.ts';
import { issueAuthority } from '../src/tls/issue.ts';

const IN_CLUSTER = ['lockkeeper.lockkeeper.svc', 'lockkeeper', 'lockkeeper.lockkeeper'];
const LOOPBACK = ['localhost', '127.0.0.1', '::1'];

const AUTHORITY = {
  namespace: 'lockkeeper',
  secret: 'lockkeeper-ca',
  hosts: [...IN_CLUSTER, 'lockkeeper.lockkeeper.svc.cluster.local', ...LOOPBACK],
  certificateSeconds: 30 * 86_400,
  authoritySeconds: 365 * 86_400,
};

const TLS = { LOCKKEEPER_TLS_CERT_FILE: '/tls/tls.crt', LOCKKEEPER_TLS_KEY_FILE: '/tls/tls.key' };

const DEFAULTS = {
  host: '0.0.0.0',
  port: 8443,
  metricsPort: 9090,
  tlsFiles: undefined,
  authority: AUTHORITY,
  webhookConfiguration: 'lockkeeper',
  admission: { path: undefined, tokenSeconds: 30 * 86_400 },
  clientCaFile: undefined,
  drivers: ['secrets'],
  holdSeconds: 10,
  retryAfterSeconds: 20,
  maxWaitSeconds: 300,
  maxHeld: 20,
  staleAfterSeconds: 900,
  staleAfterRunningSeconds: 7_200,
  deathGraceSeconds: 15,
  autoClear: 'dead-holder',
  autoClearExcept: [{ key: 'helmcharts.helm.cattle.io/chart', operator: 'exists', values: [] }],
  drainSeconds: 5,
  logLevel: 'info',
};

function problemsOf(environment: Record<string, string | undefined>): readonly string[] {
  try {
    readConfig(environment);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
}

t.test('given nothing, everything has a default', async (t) => {
  t.strictSame(readConfig({}), DEFAULTS);
});

t.test('given a good value, it is read', async (t) => {
  const rows: [name: string, value: string, expected: object][] = [
    ['LOCKKEEPER_HOST', '127.0.0.1', { host: '127.0.0.1' }],
    ['LOCKKEEPER_HOST', '::', { host: '::' }],
    ['LOCKKEEPER_HOST', 'fd00::a:1', { host: 'fd00::a:1' }],
    ['LOCKKEEPER_HOST', 'localhost', { host: 'localhost' }],
    ['LOCKKEEPER_PORT', '0', { port: 0 }],
    ['LOCKKEEPER_PORT', '65535', { port: 65_535 }],
    ['LOCKKEEPER_METRICS_PORT', '0', { metricsPort: 0 }],
    ['LOCKKEEPER_METRICS_PORT', '8080', { metricsPort: 8080 }],
    ['LOCKKEEPER_HOLD_SECONDS', '0', { holdSeconds: 0 }],
    ['LOCKKEEPER_HOLD_SECONDS', '28', { holdSeconds: 28 }],
    ['LOCKKEEPER_RETRY_AFTER_SECONDS', '1', { retryAfterSeconds: 1 }],
    ['LOCKKEEPER_RETRY_AFTER_SECONDS', '3600', { retryAfterSeconds: 3600 }],
    ['LOCKKEEPER_MAX_WAIT_SECONDS', '0', { maxWaitSeconds: 0 }],
    ['LOCKKEEPER_MAX_WAIT_SECONDS', '86400', { maxWaitSeconds: 86_400 }],
    ['LOCKKEEPER_MAX_HELD', '0', { maxHeld: 0 }],
    ['LOCKKEEPER_MAX_HELD', '10000', { maxHeld: 10_000 }],
    ['LOCKKEEPER_DRAIN_SECONDS', '0', { drainSeconds: 0 }],
    ['LOCKKEEPER_DRAIN_SECONDS', '300', { drainSeconds: 300 }],
    ['LOCKKEEPER_DRIVERS', 'configmaps', { drivers: ['configmaps'] }],
    ...['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'].map(
      (logLevel): [string, string, object] => ['LOCKKEEPER_LOG_LEVEL', logLevel, { logLevel }],
    ),
    ['LOCKKEEPER_TLS_SECRET', 'my.ca-1', { authority: { ...AUTHORITY, secret: 'my.ca-1' } }],
    ['LOCKKEEPER_TLS_CERT_SECONDS', '10', { authority: { ...AUTHORITY, certificateSeconds: 10 } }],
    ['LOCKKEEPER_TLS_AUTHORITY_SECONDS', '30', { authority: { ...AUTHORITY, authoritySeconds: 30 } }],
    [
      'LOCKKEEPER_SERVICE_NAME',
      'gate',
      {
        authority: {
          ...AUTHORITY,
          hosts: [
            'gate.lockkeeper.svc',
            'gate',
            'gate.lockkeeper',
            'gate.lockkeeper.svc.cluster.local',
            ...LOOPBACK,
          ],
        },
      },
    ],
    [
      'POD_NAMESPACE',
      'ci',
      {
        authority: {
          ...AUTHORITY,
          namespace: 'ci',
          hosts: [
            'lockkeeper.ci.svc',
            'lockkeeper',
            'lockkeeper.ci',
            'lockkeeper.ci.svc.cluster.local',
            ...LOOPBACK,
          ],
        },
      },
    ],
    [
      'LOCKKEEPER_TLS_HOSTS',
      'gate.example.com, 10.0.0.1,fd00::1 ,localhost',
      {
        authority: {
          ...AUTHORITY,
          hosts: [...AUTHORITY.hosts, 'gate.example.com', '10.0.0.1', 'fd00::1'],
        },
      },
    ],
    ['LOCKKEEPER_WEBHOOK_CONFIGURATION', 'gate.example.com', { webhookConfiguration: 'gate.example.com' }],
    ...['/admission', '/admission/0a1b2c', '/a', '/a.b-c/d/e', '/apis', '/admission/docs'].map(
      (path): [string, string, object] => [
        'LOCKKEEPER_ADMISSION_PATH',
        path,
        { admission: { ...DEFAULTS.admission, path } },
      ],
    ),
    ['LOCKKEEPER_CLIENT_CA_FILE', '/ca/ca.crt', { clientCaFile: '/ca/ca.crt' }],
    ['LOCKKEEPER_STALE_AFTER_SECONDS', '1', { staleAfterSeconds: 1 }],
    ['LOCKKEEPER_STALE_AFTER_SECONDS', '7200', { staleAfterSeconds: 7_200 }],
    ['LOCKKEEPER_STALE_AFTER_RUNNING_SECONDS', '900', { staleAfterRunningSeconds: 900 }],
    ['LOCKKEEPER_STALE_AFTER_RUNNING_SECONDS', '31536000', { staleAfterRunningSeconds: 31_536_000 }],
    ['LOCKKEEPER_DEATH_GRACE_SECONDS', '11', { deathGraceSeconds: 11 }],
    ['LOCKKEEPER_DEATH_GRACE_SECONDS', '3600', { deathGraceSeconds: 3_600 }],
    [
      'LOCKKEEPER_AUTO_CLEAR_EXCEPT',
      'app in (a,b), !c',
      {
        autoClearExcept: [
          { key: 'app', operator: 'in', values: ['a', 'b'] },
          { key: 'c', operator: 'absent', values: [] },
        ],
      },
    ],
    ...['off', 'dead-holder', 'expired'].map((value): [string, string, object] => [
      'LOCKKEEPER_AUTO_CLEAR',
      value,
      { autoClear: value },
    ]),
  ];
  for (const [name, value, expected] of rows) {
    t.strictSame(readConfig({ [name]: value }), { ...DEFAULTS, ...expected }, `${name}=${value}`);
    t.strictSame(
      readConfig({ [name]: ` ${value}\t\n` }),
      { ...DEFAULTS, ...expected },
      `${name}=${value} with white space around it, as a file or a YAML block leaves it`,
    );
  }
});

t.test('drivers may be in any order, given twice, and have spaces between them', async (t) => {
  const both = ['secrets', 'configmaps'];
  const rows: [value: string, drivers: string[]][] = [
    ['secrets,configmaps', both],
    ['configmaps,secrets', both],
    ['configmaps , secrets', both],
    ['secrets,secrets', ['secrets']],
    ['configmaps, configmaps,configmaps', ['configmaps']],
    ['configmaps,secrets,configmaps', both],
  ];
  for (const [value, drivers] of rows) {
    t.strictSame(readConfig({ LOCKKEEPER_DRIVERS: value }).drivers, drivers, value);
  }
});

/** What `LOCKKEEPER_…` must be, and values that are not. */
const WRONG: readonly [name: string, expected: string, values: readonly string[]][] = [
  [
    'LOCKKEEPER_HOST',
    'an IP address or a host name, without a port',
    ['0.0.0.0:8443', 'localhost:8443', '[::]', 'https://localhost', 'a b', '*'],
  ],
  [
    'LOCKKEEPER_PORT',
    'a whole number from 0 to 65535',
    ['65536', '-1', '84.5', '8443/tcp', ':8443', 'NaN', 'Infinity', '1e3', '0x50', '+80', '-0'],
  ],
  ['LOCKKEEPER_METRICS_PORT', 'a whole number from 0 to 65535', ['65536', 'off']],
  ['LOCKKEEPER_TLS_SECRET', 'the name of a Secret', ['Lockkeeper', 'a/b', 'a..b', '-a']],
  [
    'LOCKKEEPER_TLS_HOSTS',
    'host names or IP addresses, separated by commas',
    ['https://a', 'a b', 'a,', ',', '[::1]', 'a.example:8443'],
  ],
  [
    'LOCKKEEPER_TLS_CERT_SECONDS',
    'a whole number of seconds from 10 to 315360000',
    ['9', '315360001', '30d', '1e6'],
  ],
  [
    'LOCKKEEPER_TLS_AUTHORITY_SECONDS',
    'a whole number of seconds from 30 to 315360000',
    ['29', '315360001', '1y'],
  ],
  [
    'LOCKKEEPER_WEBHOOK_CONFIGURATION',
    'the name of a ValidatingWebhookConfiguration, or empty',
    ['Lockkeeper', 'a/b', 'none!'],
  ],
  [
    'LOCKKEEPER_ADMISSION_PATH',
    'a path of small letters, digits, dashes and dots, such as /admission/0a1b2c, and not one of the REST API',
    [
      'admission',
      '/',
      '/admission/',
      '//admission',
      '/Admission',
      '/admission?a=b',
      '/a b',
      '/%61',
      '/..',
      '/api/v1',
      '/docs',
      '/openapi.json',
      '/livez',
      '/readyz/a',
      'https://a/admission',
    ],
  ],
  ['LOCKKEEPER_SERVICE_NAME', 'the name of a Service', ['Lockkeeper', 'a.b', 'a-', 'a'.repeat(64)]],
  ['POD_NAMESPACE', 'the name of a namespace', ['kube_system', 'a.b']],
  ['LOCKKEEPER_HOLD_SECONDS', 'a whole number of seconds from 0 to 28', ['29', '-1', '10s', '10000', '1,5']],
  ['LOCKKEEPER_DRAIN_SECONDS', 'a whole number of seconds from 0 to 300', ['-1', '301', '5s']],
  ['LOCKKEEPER_RETRY_AFTER_SECONDS', 'a whole number of seconds from 1 to 3600', ['0', '3601', '20s']],
  ['LOCKKEEPER_MAX_WAIT_SECONDS', 'a whole number of seconds from 0 to 86400', ['-1', '86401', '5m']],
  ['LOCKKEEPER_MAX_HELD', 'a whole number of calls from 0 to 10000', ['-1', '10001', 'all']],
  [
    'LOCKKEEPER_STALE_AFTER_SECONDS',
    'a whole number of seconds from 1 to 31536000',
    ['0', '31536001', '15m'],
  ],
  ['LOCKKEEPER_AUTO_CLEAR', 'one of off, dead-holder, expired', ['on', 'false', 'dead-holder,expired']],
  [
    'LOCKKEEPER_DRIVERS',
    'secrets, configmaps or both, separated by a comma',
    ['secret', 'secrets;configmaps', 'secrets,', ',', 'secrets configmaps', 'sql', 'Secrets'],
  ],
  [
    'LOCKKEEPER_LOG_LEVEL',
    'one of trace, debug, info, warn, error, fatal, silent',
    ['verbose', 'INFO', 'info,debug'],
  ],
];

t.test('given a wrong value, the message shows it and says what it must be', async (t) => {
  for (const [name, expected, values] of WRONG) {
    for (const value of values) {
      t.strictSame(
        problemsOf({ [name]: value }),
        [`${name} is ${JSON.stringify(value)}, but must be ${expected}`],
        `${name}=${value}`,
      );
    }
  }
});

t.test('given many wrong values, all are reported at once', async (t) => {
  const environment = Object.fromEntries(WRONG.map(([name, , [value]]) => [name, value]));
  const problems = problemsOf({ ...environment, LOCKKEEPER_HOLD: '5', LOCKKEEPER_TLS_KEY_FILE: 'a.key' });
  t.strictSame(
    problems.filter((problem) => !problem.startsWith('LOCKKEEPER_HOLD is not a variable')).toSorted(),
    [
      ...WRONG.map(
        ([name, expected, [value]]) => `${name} is ${JSON.stringify(value)}, but must be ${expected}`,
      ),
      'LOCKKEEPER_TLS_CERT_FILE is not set, but must name a PEM file, because LOCKKEEPER_TLS_KEY_FILE does',
    ].toSorted(),
  );
  t.equal(problems.length, WRONG.length + 2, 'and the misspelt name');
  t.equal(new ConfigError(problems).message, problems.join('\n'), 'one line each');
});

t.test('the name of every variable of the contract is known', async (t) => {
  const [problem = ''] = problemsOf({ LOCKKEEPER_WAIT: '5' });
  t.equal(
    problem,
    'LOCKKEEPER_WAIT is not a variable of lockkeeper; there are LOCKKEEPER_HOST, LOCKKEEPER_PORT, ' +
      'LOCKKEEPER_METRICS_PORT, LOCKKEEPER_TLS_CERT_FILE, LOCKKEEPER_TLS_KEY_FILE, LOCKKEEPER_TLS_SECRET, ' +
      'LOCKKEEPER_TLS_HOSTS, LOCKKEEPER_TLS_CERT_SECONDS, LOCKKEEPER_TLS_AUTHORITY_SECONDS, ' +
      'LOCKKEEPER_SERVICE_NAME, LOCKKEEPER_WEBHOOK_CONFIGURATION, LOCKKEEPER_ADMISSION_PATH, ' +
      'LOCKKEEPER_CLIENT_CA_FILE, POD_NAMESPACE, LOCKKEEPER_HOLD_SECONDS, ' +
      'LOCKKEEPER_RETRY_AFTER_SECONDS, LOCKKEEPER_MAX_WAIT_SECONDS, LOCKKEEPER_MAX_HELD, ' +
      'LOCKKEEPER_STALE_AFTER_SECONDS, LOCKKEEPER_STALE_AFTER_RUNNING_SECONDS, LOCKKEEPER_DEATH_GRACE_SECONDS, ' +
      'LOCKKEEPER_AUTO_CLEAR_EXCEPT, LOCKKEEPER_AUTO_CLEAR, LOCKKEEPER_DRIVERS, ' +
      'LOCKKEEPER_DRAIN_SECONDS, LOCKKEEPER_LOG_LEVEL',
  );
});

t.test('what is stale when is checked together', async (t) => {
  t.strictSame(problemsOf({ LOCKKEEPER_STALE_AFTER_SECONDS: '7201' }), [
    'LOCKKEEPER_STALE_AFTER_RUNNING_SECONDS is 7200, but must be at least LOCKKEEPER_STALE_AFTER_SECONDS, which is 7201',
  ]);
  t.strictSame(problemsOf({ LOCKKEEPER_AUTO_CLEAR_EXCEPT: 'a in b' }), [
    'LOCKKEEPER_AUTO_CLEAR_EXCEPT must be a label selector: "a in b" is no requirement of a label selector',
  ]);
});

t.test('two listeners need two ports', async (t) => {
  t.strictSame(problemsOf({ LOCKKEEPER_PORT: '9000', LOCKKEEPER_METRICS_PORT: '9000' }), [
    'LOCKKEEPER_METRICS_PORT is 9000, but must differ from LOCKKEEPER_PORT',
  ]);
  const free = { LOCKKEEPER_PORT: '0', LOCKKEEPER_METRICS_PORT: '0' };
  t.match(readConfig({ ...free }), { port: 0, metricsPort: 0 }, 'one that is free, and none');
});

t.test('a misspelt name is reported, whatever its value', async (t) => {
  for (const name of [
    'LOCKKEEPER_HOLD_SECOND',
    'LOCKKEEPER_METRIC_PORT',
    'LOCKKEEPER_LOGLEVEL',
    'LOCKKEEPER_',
  ]) {
    const problems = problemsOf({ [name]: '5' });
    t.match(problems, [new RegExp(`^${name} is not a variable of lockkeeper; `)], name);
    t.equal(problems.length, 1);
  }
});

t.test('a variable that is empty, blank or undefined counts as unset', async (t) => {
  const names = WRONG.map(([name]) => name).filter((name) => name !== 'LOCKKEEPER_WEBHOOK_CONFIGURATION');
  for (const value of ['', ' ', '\t\n', undefined]) {
    const shown = JSON.stringify(value);
    for (const name of [...names, ...Object.keys(TLS), 'LOCKKEEPER_CLIENT_CA_FILE', 'LOCKKEEPER_MISSPELT']) {
      t.strictSame(readConfig({ [name]: value }), DEFAULTS, `${name}=${shown}`);
    }
    const none = {
      webhookConfiguration: undefined,
      admission: { ...DEFAULTS.admission, path: '/admission' },
    };
    t.strictSame(
      readConfig({ LOCKKEEPER_WEBHOOK_CONFIGURATION: value }),
      { ...DEFAULTS, ...(value === undefined ? {} : none) },
      `but LOCKKEEPER_WEBHOOK_CONFIGURATION=${shown}: somebody may want none`,
    );
  }
});

t.test(
  'the path of those who keep the configuration themselves is theirs, and else it is open',
  async (t) => {
    for (const [given, environment, path] of [
      ['a configuration to keep', {}, undefined],
      ['and a path', { LOCKKEEPER_ADMISSION_PATH: '/admission/a' }, '/admission/a'],
      ['the open one', { LOCKKEEPER_ADMISSION_PATH: '/admission' }, '/admission'],
      ['none to keep', { LOCKKEEPER_WEBHOOK_CONFIGURATION: '' }, '/admission'],
      [
        'none to keep, and a path',
        { LOCKKEEPER_WEBHOOK_CONFIGURATION: '', LOCKKEEPER_ADMISSION_PATH: '/admission/a' },
        '/admission/a',
      ],
    ] as const) {
      t.equal(readConfig(environment).admission.path, path, given);
    }
  },
);

t.test('the files of the certificate are given both, or neither', async (t) => {
  const { LOCKKEEPER_TLS_CERT_FILE: certFile, LOCKKEEPER_TLS_KEY_FILE: keyFile } = TLS;
  t.strictSame(readConfig(TLS), { ...DEFAULTS, tlsFiles: { certFile, keyFile } });
  for (const value of ['', ' ', undefined]) {
    for (const [name, other] of [
      ['LOCKKEEPER_TLS_CERT_FILE', 'LOCKKEEPER_TLS_KEY_FILE'],
      ['LOCKKEEPER_TLS_KEY_FILE', 'LOCKKEEPER_TLS_CERT_FILE'],
    ] as const) {
      t.strictSame(
        problemsOf({ ...TLS, [name]: value }),
        [`${name} is not set, but must name a PEM file, because ${other} does`],
        `${name}=${JSON.stringify(value)}`,
      );
    }
  }
});

t.test(
  'what Kubernetes sets beside a Service named lockkeeper or lockkeeper-metrics is ignored',
  async (t) => {
    for (const protocol of ['tcp', 'udp', 'sctp']) {
      const upper = protocol.toUpperCase();
      const links = {
        LOCKKEEPER_SERVICE_HOST: '10.0.0.1',
        LOCKKEEPER_SERVICE_PORT: '8443',
        LOCKKEEPER_SERVICE_PORT_HTTPS: '8443',
        LOCKKEEPER_PORT: `${protocol}://10.0.0.1:8443`,
        [`LOCKKEEPER_PORT_8443_${upper}`]: `${protocol}://10.0.0.1:8443`,
        [`LOCKKEEPER_PORT_8443_${upper}_PROTO`]: protocol,
        [`LOCKKEEPER_PORT_8443_${upper}_PORT`]: '8443',
        [`LOCKKEEPER_PORT_8443_${upper}_ADDR`]: '10.0.0.1',
        LOCKKEEPER_METRICS_SERVICE_HOST: 'fd00::1',
        LOCKKEEPER_METRICS_SERVICE_PORT: '9090',
        LOCKKEEPER_METRICS_PORT: `${protocol}://[fd00::1]:9090`,
        [`LOCKKEEPER_METRICS_PORT_9090_${upper}`]: `${protocol}://[fd00::1]:9090`,
        [`LOCKKEEPER_METRICS_PORT_9090_${upper}_ADDR`]: 'fd00::1',
      };
      t.strictSame(readConfig({ ...links }), DEFAULTS, protocol);
    }
    t.equal(readConfig({ LOCKKEEPER_SERVICE_HOST: '10.0.0.1', LOCKKEEPER_PORT: '1' }).port, 1);
    t.strictSame(
      problemsOf({ LOCKKEEPER_PORT: 'http://10.0.0.1:8443' }),
      ['LOCKKEEPER_PORT is "http://10.0.0.1:8443", but must be a whole number from 0 to 65535'],
      'no Service has such a protocol: that is what somebody wrote',
    );
  },
);

t.test('other variables of the environment are none of our business', async (t) => {
  t.strictSame(readConfig({ PATH: '/bin', HOME: '', lockkeeper_port: 'x', __proto__: 'y' }), DEFAULTS);
});

interface Exit {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the service as a process of its own, outside any cluster. */
function start(environment: Record<string, string>): Promise<Exit> {
  const { KUBERNETES_SERVICE_HOST: _host, KUBERNETES_SERVICE_PORT: _port, ...inherited } = process.env;
  const env = { ...inherited, KUBECONFIG: '', ...environment };
  const { promise, resolve } = Promise.withResolvers<Exit>();
  const child = execFile(process.execPath, ['src/main.ts'], { env }, (_error, stdout, stderr) =>
    resolve({ code: child.exitCode, stdout, stderr }),
  );
  return promise;
}

t.test('given a configuration that cannot work, the process', async (t) => {
  const { certificate, privateKey } = await issueAuthority({
    commonName: 'test',
    validDays: 1,
    now: new Date(),
  });
  const folder = t.testdir({
    'empty-home': {},
    'tls.crt': certificate,
    'http.yaml': JSON.stringify({
      'current-context': 'plain',
      clusters: [{ name: 'plain', cluster: { server: 'http://127.0.0.1:1' } }],
      contexts: [{ name: 'plain', context: { cluster: 'plain', user: 'nobody' } }],
      users: [{ name: 'nobody', user: {} }],
    }),
    'no-context.yaml': JSON.stringify({ clusters: [], contexts: [], users: [] }),
  });
  const file = (name: string) => join(folder, name);
  writeFileSync(file('tls.key'), privateKey, { mode: 0o600 });
  const tls = { LOCKKEEPER_TLS_CERT_FILE: file('tls.crt'), LOCKKEEPER_TLS_KEY_FILE: file('tls.key') };
  const notHttps = 'must be at https://…: set KUBECONFIG to a file that names it, or run inside it';

  const rows: [given: string, environment: Record<string, string>, lines: string[]][] = [
    [
      'wrong values',
      { LOCKKEEPER_PORT: '99999', LOCKKEEPER_LOG_LEVEL: 'loud', LOCKKEEPER_TLS_CERT_FILE: 'a.crt' },
      [
        'LOCKKEEPER_PORT is "99999", but must be a whole number from 0 to 65535',
        'LOCKKEEPER_LOG_LEVEL is "loud", but must be one of trace, debug, info, warn, error, fatal, silent',
        'LOCKKEEPER_TLS_KEY_FILE is not set, but must name a PEM file, because LOCKKEEPER_TLS_CERT_FILE does',
      ],
    ],
    [
      'a certificate that is not there',
      { ...tls, LOCKKEEPER_TLS_CERT_FILE: file('absent.crt') },
      [
        `${file('absent.crt')} cannot be read: ENOENT: no such file or directory, open '${file('absent.crt')}'`,
      ],
    ],
    [
      'a client CA that is not there',
      { ...tls, LOCKKEEPER_CLIENT_CA_FILE: file('absent.crt') },
      [
        `${file('absent.crt')} cannot be read: ENOENT: no such file or directory, open '${file('absent.crt')}'`,
      ],
    ],
    [
      'a kubeconfig that is not there',
      { ...tls, KUBECONFIG: file('absent.yaml') },
      [`the kubeconfig cannot be used: ENOENT: no such file or directory, open '${file('absent.yaml')}'`],
    ],
    [
      'a kubeconfig without a current context',
      { ...tls, KUBECONFIG: file('no-context.yaml') },
      ['the kubeconfig has no current context that names a cluster'],
    ],
    [
      'a cluster without TLS',
      { ...tls, KUBECONFIG: file('http.yaml') },
      [`the cluster is at http://127.0.0.1:1, but ${notHttps}`],
    ],
    ['no cluster at all', tls, [`the cluster is at http://localhost:8080, but ${notHttps}`]],
  ];

  const exits = await Promise.all(
    rows.map(([, environment]) => start({ HOME: file('empty-home'), ...environment })),
  );
  for (const [row, [given, , lines]] of rows.entries()) {
    t.strictSame(
      exits[row],
      {
        code: 78,
        stdout: '',
        stderr: `lockkeeper cannot start:\n${lines.map((line) => `  ${line}\n`).join('')}`,
      },
      `given ${given}, says so and exits with 78 (EX_CONFIG)`,
    );
  }
});

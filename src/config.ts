/** The environment, checked: every wrong value is found at once and said in words. */
import { envSchema } from 'env-schema';
import Type, { type Static } from 'typebox';
import { AUTO_CLEAR, type AutoClear } from './gate/decision.ts';
import { DRIVERS, type Driver } from './helm/release.ts';
import { type LabelSelector, parseSelector } from './kubernetes/label-selector.ts';

export interface Config {
  readonly host: string;
  readonly port: number;
  /** Plain HTTP for probes; 0 is off. */
  readonly metricsPort: number;
  /** The serving certificate, if it is somebody else's business. */
  readonly tlsFiles: TlsFiles | undefined;
  /** The authority that signs it otherwise. */
  readonly authority: AuthorityConfig;
  /** Of the ValidatingWebhookConfiguration to look after; undefined is none. */
  readonly webhookConfiguration: string | undefined;
  readonly admission: AdmissionConfig;
  /** PEM of who signs the client certificates that reviews must come with; undefined is none. */
  readonly clientCaFile: string | undefined;
  readonly drivers: readonly Driver[];
  readonly holdSeconds: number;
  readonly retryAfterSeconds: number;
  readonly maxWaitSeconds: number;
  readonly maxHeld: number;
  readonly staleAfterSeconds: number;
  readonly staleAfterRunningSeconds: number;
  readonly deathGraceSeconds: number;
  readonly autoClear: AutoClear;
  /** Labels of pods whose locks nobody but a person clears. */
  readonly autoClearExcept: LabelSelector;
  /** How long to go on answering after SIGTERM. */
  readonly drainSeconds: number;
  readonly logLevel: string;
}

export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

export interface AdmissionConfig {
  /** Where reviews come; undefined is a secret path, which Lockkeeper makes and writes into the configuration that it looks after. */
  readonly path: string | undefined;
  /** How long such a path is used. */
  readonly tokenSeconds: number;
}

export interface AuthorityConfig {
  /** Of the Secret that holds it. */
  readonly namespace: string;
  readonly secret: string;
  /** DNS names and IP addresses in the serving certificate, the first of which is also its common name. */
  readonly hosts: readonly string[];
  readonly certificateSeconds: number;
  readonly authoritySeconds: number;
}

/** Carries every problem, one line each, in words for the person who set the variables. */
export class ConfigError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];

/** `description` is what a value must be, in words that finish the sentence "X is …, but must be". */
function wholeNumber(unit: string, minimum: number, maximum: number, value: number) {
  const description = `a whole number${unit && ` of ${unit}`} from ${minimum} to ${maximum}`;
  return Type.Integer({ minimum, maximum, default: value, description });
}

function port(value: number) {
  return wholeNumber('', 0, 65_535, value);
}

function oneOf(values: readonly string[], value: string) {
  return Type.String({ enum: values, default: value, description: `one of ${values.join(', ')}` });
}

function matching(pattern: string, description: string, value: string) {
  return Type.String({ pattern, default: value, description });
}

/** Anything but nothing, which counts as unset. */
function text(value: string) {
  return Type.String({ default: value });
}

/** DNS-1123, as Kubernetes checks the names of its objects: a label, and labels joined by dots. */
const LABEL = '[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?';
const SUBDOMAIN = `${LABEL}(\\.${LABEL})*`;

/** An IPv6 address has two colons at least; `0.0.0.0:8443` and `localhost:8443` have one. */
const ADDRESS = '[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*';

const DRIVER_LIST = `^(${DRIVERS.join('|')})(\\s*,\\s*(${DRIVERS.join('|')}))*$`;

/**
 * A webhook may be given 30 s at most, and is answered 2 s earlier, so a longer hold can never happen. Helm
 * waits out any Retry-After, however long; an hour is where a mistyped number of milliseconds begins.
 */
const MAX_HOLD_SECONDS = 28;
const HOUR = 3_600;

/** Endpoints take a second or two to forget a pod, load balancers a minute or two. */
const MAX_DRAIN_SECONDS = 300;
const DAY = 86_400;

/**
 * An API server goes on for 10 s to take the token of a pod that is gone (kube-apiserver 1.37, tokenSuccessCacheTTL; 9.9 s were
 * measured). One more is for its own clock, which counts in whole seconds.
 */
const MIN_DEATH_GRACE_SECONDS = 11;

/** The least is there to watch a rotation; the most is what a certificate of an authority of one's own may live. */
const MIN_CERTIFICATE_SECONDS = 10;
const MIN_AUTHORITY_SECONDS = 30;

/** Where reviews come if nobody says, and nobody can be told of a secret. */
const OPEN_PATH = '/admission';

/** As Kubernetes allows it in the path of a Service; and no path that people ask for. */
const ADMISSION_PATH = `^(?!/(api|docs|openapi\\.json|livez|readyz)(/|$))(/${SUBDOMAIN})+$`;

/** Nothing tells who has seen the path in an error's text. */
const TOKEN_SECONDS = 30 * DAY;

/** For `kubectl port-forward`, and for who runs it on their own machine. */
const LOOPBACK = 'localhost,127.0.0.1,::1';

const LIST_OF_HOSTS = `^(${ADDRESS})(\\s*,\\s*(${ADDRESS}))*$`;

const Environment = Type.Object({
  LOCKKEEPER_HOST: matching(`^(${ADDRESS})$`, 'an IP address or a host name, without a port', '0.0.0.0'),
  LOCKKEEPER_PORT: port(8443),
  LOCKKEEPER_METRICS_PORT: port(9090),
  LOCKKEEPER_TLS_CERT_FILE: text(''),
  LOCKKEEPER_TLS_KEY_FILE: text(''),
  LOCKKEEPER_TLS_SECRET: matching(`^${SUBDOMAIN}$`, 'the name of a Secret', 'lockkeeper-ca'),
  LOCKKEEPER_TLS_HOSTS: matching(LIST_OF_HOSTS, 'host names or IP addresses, separated by commas', LOOPBACK),
  LOCKKEEPER_TLS_CERT_SECONDS: wholeNumber('seconds', MIN_CERTIFICATE_SECONDS, 10 * 365 * DAY, 30 * DAY),
  LOCKKEEPER_TLS_AUTHORITY_SECONDS: wholeNumber('seconds', MIN_AUTHORITY_SECONDS, 10 * 365 * DAY, 365 * DAY),
  LOCKKEEPER_SERVICE_NAME: matching(`^${LABEL}$`, 'the name of a Service', 'lockkeeper'),
  LOCKKEEPER_WEBHOOK_CONFIGURATION: matching(
    `^${SUBDOMAIN}$`,
    'the name of a ValidatingWebhookConfiguration, or empty',
    'lockkeeper',
  ),
  LOCKKEEPER_ADMISSION_PATH: matching(
    ADMISSION_PATH,
    'a path of small letters, digits, dashes and dots, such as /admission/0a1b2c, and not one of the REST API',
    OPEN_PATH,
  ),
  LOCKKEEPER_CLIENT_CA_FILE: text(''),
  POD_NAMESPACE: matching(`^${LABEL}$`, 'the name of a namespace', 'lockkeeper'),
  LOCKKEEPER_HOLD_SECONDS: wholeNumber('seconds', 0, MAX_HOLD_SECONDS, 10),
  LOCKKEEPER_RETRY_AFTER_SECONDS: wholeNumber('seconds', 1, HOUR, 20),
  LOCKKEEPER_MAX_WAIT_SECONDS: wholeNumber('seconds', 0, DAY, 300),
  LOCKKEEPER_MAX_HELD: wholeNumber('calls', 0, 10_000, 20),
  LOCKKEEPER_STALE_AFTER_SECONDS: wholeNumber('seconds', 1, 365 * DAY, 900),
  LOCKKEEPER_STALE_AFTER_RUNNING_SECONDS: wholeNumber('seconds', 1, 365 * DAY, 7_200),
  LOCKKEEPER_DEATH_GRACE_SECONDS: wholeNumber('seconds', MIN_DEATH_GRACE_SECONDS, HOUR, 15),
  LOCKKEEPER_AUTO_CLEAR_EXCEPT: text('helmcharts.helm.cattle.io/chart'),
  LOCKKEEPER_AUTO_CLEAR: oneOf(AUTO_CLEAR, 'dead-holder'),
  LOCKKEEPER_DRIVERS: matching(DRIVER_LIST, 'secrets, configmaps or both, separated by a comma', 'secrets'),
  LOCKKEEPER_DRAIN_SECONDS: wholeNumber('seconds', 0, MAX_DRAIN_SECONDS, 5),
  LOCKKEEPER_LOG_LEVEL: oneOf(LOG_LEVELS, 'info'),
});

type Environment = Static<typeof Environment>;

/**
 * In a pod that runs beside a Service named lockkeeper, or lockkeeper-metrics, Kubernetes sets
 * `LOCKKEEPER_PORT=tcp://…` and a dozen more (service links). Those are not the operator's words.
 */
const SERVICE_LINK = /^LOCKKEEPER_(.*_)?(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT_\d+_(TCP|UDP|SCTP)(_.*)?)$/;

function isServiceLink(name: string, value: string): boolean {
  return SERVICE_LINK.test(name) || (name.endsWith('PORT') && /^(tcp|udp|sctp):\/\//.test(value));
}

/**
 * Reads the configuration; a variable that is empty, or blank, counts as unset, but for
 * `LOCKKEEPER_WEBHOOK_CONFIGURATION`, where it means that none is looked after.
 * @throws ConfigError with every problem there is
 */
export function readConfig(environment: Readonly<Record<string, string | undefined>>): Config {
  const given: Record<string, string> = {};
  for (const [name, value] of Object.entries(environment)) {
    const trimmed = value?.trim();
    if (trimmed && !isServiceLink(name, trimmed)) given[name] = trimmed;
  }
  const problems = unknownNames(given);
  const values = check(given, problems);
  problems.push(...tlsProblems(given), ...portProblems(values), ...staleProblems(values));
  const autoClearExcept = selectorOf(values, problems);
  if (problems.length > 0) throw new ConfigError(problems);

  const webhookConfiguration = isBlank(environment.LOCKKEEPER_WEBHOOK_CONFIGURATION)
    ? undefined
    : values.LOCKKEEPER_WEBHOOK_CONFIGURATION;
  // Whoever keeps the configuration tells API servers of the path.
  const isTheirs = given.LOCKKEEPER_ADMISSION_PATH !== undefined || webhookConfiguration === undefined;
  return {
    host: values.LOCKKEEPER_HOST,
    port: values.LOCKKEEPER_PORT,
    metricsPort: values.LOCKKEEPER_METRICS_PORT,
    tlsFiles: tlsFilesOf(values),
    authority: authorityOf(values),
    webhookConfiguration,
    admission: {
      path: isTheirs ? values.LOCKKEEPER_ADMISSION_PATH : undefined,
      tokenSeconds: TOKEN_SECONDS,
    },
    clientCaFile: values.LOCKKEEPER_CLIENT_CA_FILE || undefined,
    drivers: DRIVERS.filter((driver) => values.LOCKKEEPER_DRIVERS.split(/\s*,\s*/).includes(driver)),
    holdSeconds: values.LOCKKEEPER_HOLD_SECONDS,
    retryAfterSeconds: values.LOCKKEEPER_RETRY_AFTER_SECONDS,
    maxWaitSeconds: values.LOCKKEEPER_MAX_WAIT_SECONDS,
    maxHeld: values.LOCKKEEPER_MAX_HELD,
    staleAfterSeconds: values.LOCKKEEPER_STALE_AFTER_SECONDS,
    staleAfterRunningSeconds: values.LOCKKEEPER_STALE_AFTER_RUNNING_SECONDS,
    deathGraceSeconds: values.LOCKKEEPER_DEATH_GRACE_SECONDS,
    autoClear: values.LOCKKEEPER_AUTO_CLEAR as AutoClear,
    autoClearExcept,
    drainSeconds: values.LOCKKEEPER_DRAIN_SECONDS,
    logLevel: values.LOCKKEEPER_LOG_LEVEL,
  };
}

function unknownNames(given: Readonly<Record<string, string>>): string[] {
  return Object.keys(given)
    .filter((name) => name.startsWith('LOCKKEEPER_') && !(name in Environment.properties))
    .map(
      (name) =>
        `${name} is not a variable of lockkeeper; there are ${Object.keys(Environment.properties).join(', ')}`,
    );
}

/** Returns what was given, completed by the defaults; adds to `problems` and returns nothing usable if any is wrong. */
function check(given: Record<string, string>, problems: string[]): Environment {
  const wrong = new Set(notNumbers(given));
  let values = {} as Environment;
  try {
    values = envSchema<Environment>({ schema: Environment, data: given, env: false });
  } catch (error) {
    const { errors } = error as { errors: { instancePath: string }[] };
    for (const { instancePath } of errors) wrong.add(instancePath.slice(1));
  }
  for (const name of wrong) {
    const field: object = Environment.properties[name as keyof Environment];
    const { description } = field as { description: string };
    problems.push(`${name} is ${JSON.stringify(given[name])}, but must be ${description}`);
  }
  return values;
}

/** The schema's own conversion takes `Infinity`, `1e3` and `0x10` for numbers. */
function notNumbers(given: Readonly<Record<string, string>>): string[] {
  return Object.entries(Environment.properties)
    .filter(([name, { type }]) => type === 'integer' && !/^\d*$/.test(given[name] ?? ''))
    .map(([name]) => name);
}

function portProblems({ LOCKKEEPER_PORT: port, LOCKKEEPER_METRICS_PORT: metrics }: Environment): string[] {
  const clash = port === metrics && port > 0;
  return clash ? [`LOCKKEEPER_METRICS_PORT is ${metrics}, but must differ from LOCKKEEPER_PORT`] : [];
}

/** A pod that is seen to run is better than silence, so it may be silent for longer. */
function staleProblems(values: Environment): string[] {
  const { LOCKKEEPER_STALE_AFTER_SECONDS: silent, LOCKKEEPER_STALE_AFTER_RUNNING_SECONDS: running } = values;
  if (!(running < silent)) return [];
  return [
    `LOCKKEEPER_STALE_AFTER_RUNNING_SECONDS is ${running}, but must be at least LOCKKEEPER_STALE_AFTER_SECONDS, which is ${silent}`,
  ];
}

function selectorOf(
  { LOCKKEEPER_AUTO_CLEAR_EXCEPT: text = '' }: Environment,
  problems: string[],
): LabelSelector {
  try {
    return parseSelector(text);
  } catch (error) {
    const { message } = error as Error;
    problems.push(`LOCKKEEPER_AUTO_CLEAR_EXCEPT must be a label selector: ${message}`);
    return [];
  }
}

function isBlank(value: string | undefined): boolean {
  return value?.trim() === '';
}

const TLS_FILES = ['LOCKKEEPER_TLS_CERT_FILE', 'LOCKKEEPER_TLS_KEY_FILE'] as const;

/** Both, or neither. */
function tlsProblems(given: Readonly<Record<string, string>>): string[] {
  const missing = TLS_FILES.filter((name) => given[name] === undefined);
  if (missing.length !== 1) return [];
  const [other] = TLS_FILES.filter((name) => !missing.includes(name));
  return [`${missing[0]} is not set, but must name a PEM file, because ${other} does`];
}

function tlsFilesOf(values: Environment): TlsFiles | undefined {
  const { LOCKKEEPER_TLS_CERT_FILE: certFile, LOCKKEEPER_TLS_KEY_FILE: keyFile } = values;
  return certFile === '' ? undefined : { certFile, keyFile };
}

function authorityOf(values: Environment): AuthorityConfig {
  const { LOCKKEEPER_SERVICE_NAME: service, POD_NAMESPACE: namespace } = values;
  const inCluster = `${service}.${namespace}`;
  const names = [`${inCluster}.svc`, service, inCluster, `${inCluster}.svc.cluster.local`];
  const others = `${LOOPBACK},${values.LOCKKEEPER_TLS_HOSTS}`.split(',').map((host) => host.trim());
  return {
    namespace,
    secret: values.LOCKKEEPER_TLS_SECRET,
    hosts: [...new Set([...names, ...others])],
    certificateSeconds: values.LOCKKEEPER_TLS_CERT_SECONDS,
    authoritySeconds: values.LOCKKEEPER_TLS_AUTHORITY_SECONDS,
  };
}

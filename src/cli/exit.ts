/** How a command ends. A pipeline tells by the number, a person by the words. */

export const EXIT = {
  fine: 0,
  failed: 1,
  usage: 2,
  locked: 3,
  live: 4,
  free: 5,
  unreachable: 6,
  forbidden: 7,
  changed: 8,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** What each code means, for `--help`; docs/cli.md has the same table, and a test compares them. */
export const MEANINGS: Readonly<Record<ExitCode, string>> = {
  [EXIT.fine]: 'done, or free',
  [EXIT.failed]: 'something else failed; stderr says what',
  [EXIT.usage]: 'the command line is wrong',
  [EXIT.locked]: 'still locked when the time was up',
  [EXIT.live]: 'the lock is live: nothing was cleared',
  [EXIT.free]: 'there is no lock to clear',
  [EXIT.unreachable]: 'the cluster is out of reach, or the kubeconfig cannot be used',
  [EXIT.forbidden]: 'a right is missing; stderr names it',
  [EXIT.changed]: 'another revision holds the lock, or it changed meanwhile: nothing was cleared',
};

/** An end that was foreseen. Its message is for a person, and says what to do. */
export class Failure extends Error {
  readonly code: ExitCode;
  /** Lines that belong to the message. */
  readonly details: readonly string[];

  constructor(code: ExitCode, message: string, details: readonly string[] = []) {
    super(message);
    this.name = 'Failure';
    this.code = code;
    this.details = details;
  }
}

/** Of whatever a command threw. The API server's own words name the right that is missing. */
export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof Failure) return error.code;
  const { status, cause } = error as { status?: unknown; cause?: unknown };
  if (status === 401 || status === 403) return EXIT.forbidden;
  const isSilent = cause !== undefined || (typeof status === 'number' && status >= 500);
  return isSilent ? EXIT.unreachable : EXIT.failed;
}

/** What people read: every text of the command. */
import { FILES, type Outcome } from './issue-to-folder.ts';
import { DEFAULT_DAYS, DEFAULT_HOSTS, MAX_DAYS } from './options.ts';

type Issued = Extract<Outcome, { kind: 'issued' }>;
type Refused = Extract<Outcome, { kind: 'refused' }>;

export const HELP = `Issues a certificate authority and a serving certificate that it signs.

Usage: npm run certs -- [--host NAME]... [--days N] [--out FOLDER] [--force]

  --host NAME   a DNS name or an IP address that clients call; repeat it for each
                (${DEFAULT_HOSTS.join(',\n                 ')})
  --days N      how long both certificates are valid, 1 to ${MAX_DAYS} (${DEFAULT_DAYS})
  --out FOLDER  where ${FILES.join(', ')} are written (certs/issued)
  --force       replace all four if any of them is there: a new authority has to
                be trusted anew wherever the old one was
  --help, -h    print this

Exit code: 0 issued, 1 files are there already, 2 wrong usage.
`;

export function wrong(problems: readonly string[]): string {
  return `${problems.join('\n')}\nNothing was written. For help: npm run certs -- --help\n`;
}

export function refused({ folder, existing }: Refused): string {
  return `${folder} already holds ${existing.join(', ')}. Nothing was written.
To keep them, name another folder with --out. To replace all four, so that a new authority has to be trusted,
run the same command with --force (after the -- that npm wants).
`;
}

export function issued({ folder, hosts, validTo }: Issued): string {
  return `Wrote ${FILES.join(', ')} to ${folder}
  for    ${hosts.join(', ')}
  until  ${validTo.toISOString().replace('.000', '')}

To serve with them:
  export LOCKKEEPER_TLS_CERT_FILE=${quoted(`${folder}/tls.crt`)}
  export LOCKKEEPER_TLS_KEY_FILE=${quoted(`${folder}/tls.key`)}

The caBundle that makes a webhook configuration trust them:
  base64 < ${quoted(`${folder}/ca.crt`)} | tr -d '\\n'

Keep ca.key to yourself: it can sign for any name.
`;
}

/** As one word of a POSIX shell. */
function quoted(path: string): string {
  return /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}

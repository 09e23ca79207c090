/** Issues an authority and a serving certificate into a folder: all four files, or none. */
import { X509Certificate } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { issueAuthority, issueServingCertificate } from '../src/tls/issue.ts';

export interface IssueOptions {
  /** DNS names and IP addresses, at least one. */
  readonly hosts: readonly string[];
  readonly folder: string;
  readonly days: number;
  readonly force: boolean;
  readonly now: Date;
}

export type Outcome =
  | {
      readonly kind: 'issued';
      readonly folder: string;
      readonly hosts: readonly string[];
      readonly validTo: Date;
    }
  /** Nothing was changed, because these files are there. */
  | { readonly kind: 'refused'; readonly folder: string; readonly existing: readonly string[] }
  /** Nothing was changed, because the folder cannot be written to. */
  | { readonly kind: 'unusable'; readonly folder: string; readonly reason: string };

/** What is written, in this order. */
export const FILES = ['ca.crt', 'ca.key', 'tls.crt', 'tls.key'] as const;

type FileName = (typeof FILES)[number];

const AUTHORITY = 'lockkeeper authority';

/**
 * `force` replaces all four, because a certificate of an older authority is not trusted beside a new one.
 * Nothing has its final name before everything is written.
 */
export async function issueToFolder(options: IssueOptions): Promise<Outcome> {
  const folder = resolve(options.folder);
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const entries = await readdir(folder, { withFileTypes: true });
    const inTheWay = entries.filter(({ name }) => FILES.some((file) => file === name));
    const subfolder = inTheWay.find((entry) => entry.isDirectory());
    if (subfolder) return { kind: 'unusable', folder, reason: `${subfolder.name} is a folder there` };
    if (inTheWay.length > 0 && !options.force) {
      return { kind: 'refused', folder, existing: inTheWay.map(({ name }) => name).toSorted() };
    }
    const contents = await issue(options);
    await write(folder, contents);
    return {
      kind: 'issued',
      folder,
      hosts: options.hosts,
      validTo: new X509Certificate(contents['tls.crt']).validToDate,
    };
  } catch (error) {
    const { syscall, message } = error as NodeJS.ErrnoException;
    if (syscall === undefined) throw error;
    return { kind: 'unusable', folder, reason: message };
  }
}

async function issue({ hosts, days, now }: IssueOptions): Promise<Record<FileName, string>> {
  const validity = { validDays: days, now };
  const authority = await issueAuthority({ commonName: AUTHORITY, ...validity });
  const serving = await issueServingCertificate(authority, { hosts, ...validity });
  return {
    'ca.crt': authority.certificate,
    'ca.key': authority.privateKey,
    'tls.crt': serving.certificate,
    'tls.key': serving.privateKey,
  };
}

async function write(folder: string, contents: Readonly<Record<FileName, string>>): Promise<void> {
  const staging = await mkdtemp(join(folder, '.issuing-'));
  try {
    for (const file of FILES) {
      const mode = file.endsWith('.key') ? 0o600 : 0o644;
      await writeFile(join(staging, file), contents[file], { mode });
    }
    for (const file of FILES) await rename(join(staging, file), join(folder, file));
  } finally {
    await rm(staging, { recursive: true });
  }
}

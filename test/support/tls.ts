/** Certificates in files, as `npm run certs` makes them. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { issueToFolder } from '../../certs/issue-to-folder.ts';

export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
  /** PEM of the authority. */
  readonly caCertificate: string;
}

/** For 127.0.0.1, valid for a day, in a folder that is made. */
export async function issueTlsFiles(folder: string): Promise<TlsFiles> {
  const outcome = await issueToFolder({
    hosts: ['127.0.0.1'],
    folder,
    days: 1,
    force: false,
    now: new Date(),
  });
  if (outcome.kind !== 'issued') throw new Error(`no certificate in ${folder}: ${outcome.kind}`);
  return {
    certFile: join(folder, 'tls.crt'),
    keyFile: join(folder, 'tls.key'),
    caCertificate: await readFile(join(folder, 'ca.crt'), 'utf8'),
  };
}

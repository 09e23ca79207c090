/** A serving certificate from files, such as cert-manager or `npm run certs` writes them. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { KeyPair } from './issue.ts';

/**
 * Reads both files and checks that they belong together.
 * @throws Error that names the file and says what is wrong with it
 */
export async function readKeyPair(certFile: string, keyFile: string): Promise<KeyPair> {
  const certificate = await read(certFile);
  const privateKey = await read(keyFile);
  const parsed = attempt(certFile, 'PEM certificate', () => new X509Certificate(certificate));
  const key = attempt(keyFile, 'PEM private key without a passphrase', () => createPrivateKey(privateKey));
  if (!parsed.checkPrivateKey(key))
    throw new Error(`${keyFile} is not the key of the first certificate in ${certFile}`);
  return { certificate, privateKey };
}

async function read(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new Error(`${file} cannot be read: ${(error as Error).message}`);
  }
}

/** The parser's own message is left out: it may quote what it parsed. */
function attempt<T>(file: string, what: string, parse: () => T): T {
  try {
    return parse();
  } catch {
    throw new Error(`${file} holds no ${what}`);
  }
}

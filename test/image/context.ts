/** What a builder is sent of this repository: what git tracks, but for what .dockerignore keeps back. */
import { cp, mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { run } from '../tools/run.ts';

/** Whether a path is sent. @throws Error for a pattern that is not rehearsed */
export function dockerignore(text: string): (path: string) => boolean {
  const patterns = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  const strange = patterns.find((pattern) => pattern !== '*' && !/^!?[\w.-]+(\/[\w.-]+)*$/.test(pattern));
  if (strange !== undefined) throw new Error(`.dockerignore: this form is not rehearsed: ${strange}`);
  return (path) => {
    let sent = true;
    // The last one that fits decides, and one that fits a folder fits all in it.
    for (const pattern of patterns) {
      const name = pattern.replace(/^!/, '');
      if (name === '*' || path === name || path.startsWith(`${name}/`)) sent = pattern.startsWith('!');
    }
    return sent;
  };
}

/** Copies it into a folder. */
export async function copyContext(repository: string, folder: string): Promise<void> {
  const isSent = dockerignore(await readFile(join(repository, '.dockerignore'), 'utf8'));
  const { code, stdout, stderr } = await run('git', ['ls-files', '-z'], { cwd: repository });
  if (code !== 0) throw new Error(`git ls-files: ${stderr}`);
  for (const path of stdout.split('\0').filter((path) => path !== '' && isSent(path))) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await cp(join(repository, path), join(folder, path));
  }
}

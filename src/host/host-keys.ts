import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Reads the public SSH host keys of this machine as key blobs, from where sshd keeps them (sshd(8), FILES); none where
 * there are none.
 */
export async function readHostKeys(directory?: string): Promise<readonly Buffer[]> {
  return (await readHostKeyLines(directory)).flatMap((line) => {
    const [, base64] = line.trim().split(/\s+/);
    return base64 === undefined ? [] : [Buffer.from(base64, 'base64')];
  });
}

/** The same keys as they are written, `TYPE BASE64 COMMENT`, sorted by file name; unreadable ones are left out. */
export async function readHostKeyLines(directory = '/etc/ssh'): Promise<readonly string[]> {
  const names = await readdir(directory).catch(() => []);
  const files = names.filter((name) => /^ssh_host_.*_key\.pub$/.test(name)).toSorted();
  const lines = await Promise.all(files.map((name) => readFile(join(directory, name), 'utf8').catch(() => null)));
  return lines.filter((line) => line !== null);
}

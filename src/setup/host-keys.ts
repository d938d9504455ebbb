import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The public host keys of the sshd whose files are in `folder`, by name; none where there is no such folder. */
export async function readHostKeys(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => []);
  const files = names.filter((name) => /^ssh_host_.*_key\.pub$/.test(name)).toSorted();
  return Promise.all(files.map((name) => readFile(join(folder, name), 'utf8')));
}

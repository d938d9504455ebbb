import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The public host keys of the sshd whose files are in `folder`, by name, as far as they can be read. */
export async function readHostKeys(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => []);
  const files = names.filter((name) => /^ssh_host_.*_key\.pub$/.test(name)).toSorted();
  const texts = await Promise.all(files.map((name) => readFile(join(folder, name), 'utf8').catch(() => null)));
  return texts.filter((text) => text !== null);
}

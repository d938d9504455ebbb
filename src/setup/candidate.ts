import { randomBytes } from 'node:crypto';
import { chmod, chown, copyFile, readdir, readFile, stat, unlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { candidatePath } from '../config/paths.ts';
import { replaceFile } from './replace-file.ts';

/** Lays a text beside a configuration file, for the daemon to try it out; answers its name. `inUse` is one that is on trial. */
export async function layCandidate(file: string, text: string, inUse: string | null): Promise<string> {
  await removeForgotten(file, inUse);
  const name = randomBytes(8).toString('hex');
  const path = candidatePath(file, name);
  const { uid, gid, mode } = await stat(file);
  try {
    await writeFile(path, text, { mode: 0o600, flag: 'wx' });
    await chown(path, uid, gid);
    await chmod(path, mode & 0o777);
  } catch (error) {
    await removeCandidate(file, name);
    throw error;
  }
  return name;
}

/** Puts it in the place of the file, which is kept as FILE.previous. */
export async function installCandidate(file: string, name: string): Promise<void> {
  const text = await readFile(candidatePath(file, name), 'utf8');
  await copyFile(file, `${file}.previous`);
  await replaceFile(file, text, () => Promise.resolve());
  await removeCandidate(file, name);
}

export async function removeCandidate(file: string, name: string): Promise<void> {
  await unlink(candidatePath(file, name)).catch(() => {});
}

/** Those that earlier calls left behind because they were killed, or that went back. */
async function removeForgotten(file: string, inUse: string | null): Promise<void> {
  const start = `${basename(file)}.`;
  for (const entry of await readdir(dirname(file))) {
    const name = entry.startsWith(start)
      ? (/^([0-9a-f]{16})\.candidate$/.exec(entry.slice(start.length))?.[1] ?? null)
      : null;
    if (name !== null && name !== inUse) await unlink(join(dirname(file), entry)).catch(() => {});
  }
}

import type { Stats } from 'node:fs';
import { open, realpath, rename, stat, unlink } from 'node:fs/promises';

/** Puts another text into an existing file at once, keeping its owner, its mode and a link to it; `check` may refuse by rejecting. */
export async function replaceFile(
  path: string,
  text: string,
  check: (text: string) => Promise<unknown>,
): Promise<void> {
  await check(text);
  const file = await realpath(path);
  await writeAnew(file, text, await stat(file));
}

/** Writes a file whole and flushed, with this owner and mode. A link that lies there is replaced, not followed. */
export async function writeAnew(
  path: string,
  text: string,
  { uid, gid, mode }: Pick<Stats, 'uid' | 'gid' | 'mode'>,
): Promise<void> {
  const aside = `${path}.new`;
  await unlink(aside).catch(() => {});
  try {
    const handle = await open(aside, 'wx', 0o600);
    try {
      await handle.writeFile(text);
      await handle.chown(uid, gid);
      await handle.chmod(mode & 0o7777);
      // Before the rename: after a loss of power there is the old text or the new one, and not an empty file.
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(aside, path);
  } catch (error) {
    await unlink(aside).catch(() => {});
    throw error;
  }
}

import { link, open, stat, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Makes a file, whole or not at all, and never over one that is there. What root makes in a folder of somebody else, such as that of
 * a service, belongs to them: they are to read it.
 */
export async function createFile(path: string, text: string | Buffer, mode: number): Promise<void> {
  const aside = `${path}.new`;
  // A run that was killed may have left one.
  await unlink(aside).catch(() => {});
  try {
    const handle = await open(aside, 'wx', mode);
    try {
      await handle.writeFile(text);
      const { uid, gid } = await stat(dirname(path));
      // Not every file system has owners.
      if (process.getuid?.() === 0) await handle.chown(uid, gid).catch(() => {});
      await handle.sync();
    } finally {
      await handle.close();
    }
    await link(aside, path);
  } finally {
    await unlink(aside).catch(() => {});
  }
}

import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errorCode } from '../text.ts';
import { writeWhole } from './whole-file.ts';

/**
 * Makes a file, whole or not at all, and never over one that is there. What root makes in a folder of somebody else, such as that of
 * a service, belongs to them: they are to read it.
 */
export async function createFile(path: string, text: string | Buffer, mode: number): Promise<void> {
  const { uid, gid } = await stat(dirname(path));
  const owner = process.getuid?.() === 0 ? { uid, gid } : null;
  try {
    await writeWhole(path, text, { mode, owner }, { over: false });
  } catch (error) {
    // Not every file system has owners.
    if (owner === null || errorCode(error) !== 'EPERM') throw error;
    await writeWhole(path, text, { mode, owner: null }, { over: false });
  }
}

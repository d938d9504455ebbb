import { basename, dirname } from 'node:path';
import { errorCode } from '../text.ts';
import { inDirectory } from './open-directory.ts';
import { writeAtomicallyIn } from './write-atomically.ts';

/**
 * Creates a file atomically, never over an existing one. A file that root creates in another user's directory, such as
 * a service's, belongs to that user, who has to read it.
 */
export async function createFile(path: string, text: string | Buffer, mode: number): Promise<void> {
  await inDirectory(dirname(path), async (directory) => {
    const owner = process.getuid?.() === 0 ? directory.owner() : null;
    const name = basename(path);
    try {
      await writeAtomicallyIn(directory, name, text, { mode, owner }, { over: false });
    } catch (error) {
      // Not every file system has owners.
      if (owner === null || errorCode(error) !== 'EPERM') throw error;
      await writeAtomicallyIn(directory, name, text, { mode, owner: null }, { over: false });
    }
  });
}

import { closeSync, constants, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { access } from 'node:fs/promises';
import { orElse } from '../or-else.ts';
import { errorCode } from '../text.ts';
import { UserError } from '../user-error.ts';
import { readWhole, withFile } from './open-file.ts';
import { checkOpened } from './path-owner.ts';

/**
 * Reads the text of a file of at most 1 MiB. Rejects for a larger one, and for a pipe, which may never end; for root
 * also as withFile() does.
 */
export async function readText(path: string): Promise<string> {
  return await withFile(path, async (file) => {
    if (file.stats.isFIFO()) throw new UserError(`${path} is a pipe`);
    const bytes = await readWhole(file, MAX_TEXT_BYTES);
    if (bytes === null) throw new UserError(`${path} is larger than 1 MiB`);
    return bytes.toString('utf8');
  });
}

/** The same; null where there is no such file. */
export async function readTextIfThere(path: string): Promise<string | null> {
  try {
    return await readText(path);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    throw error;
  }
}

export const MAX_TEXT_BYTES = 1024 * 1024;

/** Whether this user may not read a file that is there. */
export async function isDenied(path: string): Promise<boolean> {
  return await access(path, constants.R_OK).then(
    () => false,
    (error: unknown) => errorCode(error) === 'EACCES',
  );
}

/** The text of a file that the system itself has, such as those of /proc; null where it cannot be read. */
export function readIfReadable(path: string): string | null {
  return orElse(() => readFileSync(path, 'utf8'), null);
}

/**
 * Reads the bytes of a regular file of at most `limit` bytes, synchronously. Throws for anything else: pipes and
 * devices would block, or never end; for root also as withFile() does.
 */
export function readRegularFile(path: string, limit = 1024 * 1024): Buffer {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  try {
    const stats = fstatSync(fd);
    if (!stats.isFile()) throw new UserError(`${path} is not a regular file`);
    checkOpened(path, fd, stats);
    if (stats.size > limit) throw new UserError(`${path} is larger than ${limit} bytes`);
    const buffer = Buffer.alloc(limit);
    let length = 0;
    for (let read = -1; read !== 0 && length < limit; length += read)
      read = readSync(fd, buffer, length, limit - length, null);
    return buffer.subarray(0, length);
  } finally {
    closeSync(fd);
  }
}

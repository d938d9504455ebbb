import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { checkOpened } from './path-owner.ts';
import { UserError } from '../user-error.ts';
import { readAtMost } from './read-at-most.ts';

/** The text of a file of at most 1 MiB. Rejects for what is larger, and for a pipe, which would be waited for, perhaps for ever; for root also as checkOpened() does. */
export async function readText(path: string): Promise<string> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  try {
    const stats = await handle.stat();
    if (stats.isFIFO()) throw new UserError(`${path} is a pipe`);
    if (stats.isFile()) checkOpened(path, handle.fd, stats);
    const bytes = await readAtMost(handle, MAX_BYTES + 1);
    if (bytes.length > MAX_BYTES) throw new UserError(`${path} is larger than 1 MiB`);
    return bytes.toString('utf8');
  } finally {
    await handle.close();
  }
}

const MAX_BYTES = 1024 * 1024;

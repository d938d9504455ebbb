import { isUtf8 } from 'node:buffer';
import { errorCode } from '../../lib/text.ts';
import { UserError } from '../../lib/user-error.ts';
import { readAsOwner } from './effective-user.ts';

/** The text of a file, read with the rights of the owner of its directory; null where there is none. */
export function readOldText(path: string): string | null {
  try {
    const bytes = readAsOwner(path);
    if (isUtf8(bytes)) return bytes.toString('utf8');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '')) return null;
    throw error;
  }
  throw new UserError(`${path} is not UTF-8 text`);
}

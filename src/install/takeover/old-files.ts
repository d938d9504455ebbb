import { statSync } from 'node:fs';
import { readRegularFile } from '../../lib/files/read-file.ts';
import { errorCode, errorText } from '../../lib/text.ts';
import { createIdentityCache } from '../../connection/auth/identity-cache.ts';
import { loadIdentityFile } from '../../connection/auth/identity-file.ts';
import { inspectKeyFile } from '../../connection/auth/key-file.ts';
import { UserError } from '../../lib/user-error.ts';

/** Reads a private key that needs no passphrase, with its public half. */
export async function readKey(path: string) {
  const loaded = await loadIdentityFile(path, null, () => Promise.resolve(null), createIdentityCache());
  if (loaded.key === null) return { failure: loaded.failure };
  return { content: readRegularFile(path).toString('utf8'), publicHalf: readPublicHalf(`${path}.pub`) };
}

/** The content of the `.pub` file beside a key; null where that is not a public key. */
function readPublicHalf(path: string): string | null {
  try {
    const bytes = readRegularFile(path, 16 * 1024);
    return inspectKeyFile(bytes).kind === 'public' ? bytes.toString('utf8') : null;
  } catch {
    return null; // ssh does not need it
  }
}

/** The text of a known_hosts file; a missing one is empty. */
export function readKnownHosts(file: string): string {
  try {
    return readRegularFile(file, 4 * 1024 * 1024).toString('utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || isDevNull(file)) return '';
    throw new UserError(`${file}, the known_hosts file of the old command, cannot be read: ${errorText(error)}`);
  }
}

/** `UserKnownHostsFile /dev/null` is the usual way to have none. */
function isDevNull(file: string): boolean {
  return statSync(file, { throwIfNoEntry: false })?.isCharacterDevice() === true;
}

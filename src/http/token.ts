import { randomBytes } from 'node:crypto';
import { createFile } from '../lib/files/create-file.ts';
import { readAtMost, withFile } from '../lib/files/open-file.ts';
import { registerSecret } from '../lib/secrets.ts';
import { errorCode } from '../lib/text.ts';

/** The token in a file; one that is missing is made, with mode 0600. Rejects where others can read it, or where it is no token. */
export async function readToken(path: string): Promise<string> {
  try {
    return await read(path);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
    await createFile(path, `${randomBytes(32).toString('base64url')}\n`, 0o600);
    return await read(path);
  }
}

function read(path: string): Promise<string> {
  return withFile(path, async ({ handle, stats }) => {
    if (!stats.isFile()) throw new Error(`${path} is not a file`);
    if ((stats.mode & 0o077) !== 0) throw new Error(`${path} can be read by others: chmod 600 ${path}`);
    const text = (await readAtMost(handle, MAX_BYTES)).toString('utf8').trim();
    if (!TOKEN.test(text)) throw new Error(`${path} holds no token: at least 20 letters, digits, - or _ in one line`);
    registerSecret(text);
    return text;
  });
}

const TOKEN = /^[\w.~+/=-]{20,200}$/;
const MAX_BYTES = 1024;

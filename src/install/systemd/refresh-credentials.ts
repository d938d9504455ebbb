import { constants } from 'node:fs';
import { chmod, chown, lstat, mkdir, readdir, readFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode } from '../../lib/text.ts';
import { copyName } from '../../connection/auth/systemd-credential.ts';
import { accountOf } from '../steps/accounts.ts';
import { putFile } from '../steps/files.ts';
import { credentialFiles, credentialProblems, loadsCredentials } from './credentials.ts';
import { UserError } from '../../lib/user-error.ts';
import { CONFIG, ETC, CREDENTIALS, RUNTIME, SERVICE_USER } from './service-paths.ts';
import { runProgram } from '../steps/run-program.ts';
import { readWhole, withFile, type OpenFile } from '../../lib/files/open-file.ts';
import { succeeds } from '../../lib/async/succeeds.ts';

/**
 * Gives the running service the present keys, which it may not read itself: systemd copies them at the start (LoadCredential=), and
 * again only from version 260 on (RefreshOnReload=). Does nothing unless this is root. Rejects with a UserError.
 */
export async function refreshServiceCredentials(): Promise<void> {
  if (process.getuid?.() !== 0 || !(await loadsCredentials(CONFIG)) || !(await succeeds(lstat(RUNTIME)))) return;
  const account = await accountOf(runProgram, SERVICE_USER);
  if (account !== null) await refreshCredentials({ from: ETC, to: CREDENTIALS, uid: account.uid, gid: account.gid });
}

export interface CredentialRefresh {
  readonly from: string;
  /** A directory of root's in memory, which exists as long as the service runs: only root could put a link there. */
  readonly to: string;
  /** The owner of the copies. */
  readonly uid: number;
  readonly gid: number;
}

/** Updates the copies, and removes those without a file. */
export async function refreshCredentials({ from, to, uid, gid }: CredentialRefresh): Promise<void> {
  const [problem] = await credentialProblems(from);
  if (problem !== undefined) throw new UserError(problem);
  const copies = new Map<string, Buffer>();
  for (const { path, entry } of await credentialFiles(from)) {
    const name = copyName(path, from);
    const content = entry.isFile() && name !== null ? await readHidden(path, gid) : null;
    if (name !== null && content !== null) copies.set(name, content);
  }
  await makeDirectory(to, gid);
  for (const name of await readdir(to)) if (!copies.has(name)) await unlink(join(to, name));
  for (const [name, content] of copies) {
    const path = join(to, name);
    const before = await readFile(path).catch(() => null);
    if (before?.equals(content) !== true) await putFile(path, content, { mode: 0o400, uid, gid });
  }
}

/** The content of a file that the group may not read; null where it may, and needs no copy. */
async function readHidden(path: string, group: number): Promise<Buffer | null> {
  const readIfHidden = async (file: OpenFile) => {
    const { mode, gid } = file.stats;
    if ((mode & 0o004) !== 0 || (gid === group && (mode & 0o040) !== 0)) return null;
    const bytes = await readWhole(file, MAX_BYTES);
    if (bytes === null) throw new UserError(`${path} is larger than 1 MiB, too large for a key: move it away`);
    return bytes;
  };
  return await withFile(path, readIfHidden, { flags: constants.O_NOFOLLOW });
}

const MAX_BYTES = 1024 * 1024;

/** Creates a directory that only its owner and the group may enter. */
async function makeDirectory(path: string, gid: number): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error;
  }
  const stats = await lstat(path);
  if (!stats.isDirectory() || stats.uid !== process.getuid?.())
    throw new UserError(`${path} is not a directory of root: remove it, and run this again`);
  await chown(path, stats.uid, gid);
  await chmod(path, 0o710);
}

import { randomBytes } from 'node:crypto';
import { readdirSync, unlinkSync } from 'node:fs';
import { link, open, rename, unlink, type FileHandle } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { errorCode } from '../text.ts';
import { inDirectory, type OpenDirectory } from './open-directory.ts';
import { orElse } from '../or-else.ts';

/** Mode and owner of a file. Null: the user that writes it. */
export interface FileRights {
  readonly mode: number;
  readonly owner: { readonly uid: number; readonly gid: number } | null;
}

/**
 * Writes a file atomically and flushed: after a loss of power it is the old one or the new one. It is written beside
 * its place, under a name that cannot be guessed and through no link (O_EXCL), and then renamed; with `over` false it
 * never replaces another file (EEXIST). Both happen in the same directory, see inDirectory().
 */
export async function writeAtomically(
  path: string,
  content: string | Buffer,
  rights: FileRights,
  options: { readonly over?: boolean } = {},
): Promise<void> {
  await inDirectory(dirname(path), (directory) =>
    writeAtomicallyIn(directory, basename(path), content, rights, options),
  );
}

/** The same in an open directory. */
export async function writeAtomicallyIn(
  directory: OpenDirectory,
  name: string,
  content: string | Buffer,
  rights: FileRights,
  { over = true }: { readonly over?: boolean } = {},
): Promise<void> {
  removeStaleTemporaries(directory, name);
  const temporary = directory.at(`.${name}.${process.pid}.${randomBytes(6).toString('hex')}.new`);
  const path = directory.at(name);
  try {
    const handle = await open(temporary, 'wx', 0o600);
    try {
      // Not write(), which on a nearly full disk writes what fits and succeeds.
      await handle.writeFile(content);
      await setRights(handle, rights);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await (over ? rename(temporary, path) : link(temporary, path));
    if (!over) await unlink(temporary);
    await syncDirectory(directory.at('.'));
  } catch (error) {
    // The reason to report is the one above.
    await unlink(temporary).catch(() => {});
    throw named(error, path, temporary, directory.at(`.${name}.new`));
  }
}

/**
 * Of a write through a handle, as on a full disk, Node does not say to which file it was. What is random in a name is left out: a failure
 * that lasts is to have the same message each time.
 */
function named(error: unknown, path: string, temporary: string, shortName: string): unknown {
  if (!(error instanceof Error)) return error;
  const { syscall, path: known } = error as NodeJS.ErrnoException;
  error.message = error.message.replaceAll(temporary, shortName);
  if (syscall !== undefined && known === undefined) error.message += ` '${path}'`;
  return error;
}

/**
 * Removes what killed processes have left behind. These names are hidden: systemd takes them neither for units nor for
 * credentials.
 */
function removeStaleTemporaries(directory: OpenDirectory, name: string): void {
  for (const entry of orElse(() => readdirSync(directory.at('.')), [])) {
    const pid = entry.startsWith(`.${name}.`) ? STALE.exec(entry.slice(name.length + 2))?.[1] : undefined;
    if (pid !== undefined && !isAlive(Number(pid))) orElse(() => unlinkSync(directory.at(entry)), null);
  }
}

const STALE = /^(\d+)\.[0-9a-f]{12}\.new$/;

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return errorCode(error) !== 'ESRCH';
  }
}

async function setRights(handle: FileHandle, { mode, owner }: FileRights): Promise<void> {
  if (owner !== null) {
    const { uid, gid } = await handle.stat();
    if (uid !== owner.uid || gid !== owner.gid) await handle.chown(owner.uid, owner.gid);
  }
  await handle.chmod(mode & 0o7777);
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  // Some file systems cannot flush a directory; the rename is atomic all the same.
  await handle.sync().catch(() => {});
  await handle.close();
}

import { constants, type Stats } from 'node:fs';
import { type FileHandle, lstat, open, readlink, realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { errorCode, errorText } from '../../lib/text.ts';
import { writeAtomically } from '../../lib/files/write-atomically.ts';
import { UserError } from '../../lib/user-error.ts';
import { readWhole } from '../../lib/files/open-file.ts';

export interface FileState {
  readonly kind: 'file' | 'directory';
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Null for a directory. */
  readonly content: string | null;
}

/** Reads the state of a path; null where nothing is there. Rejects a link at its end: it could lead what root writes elsewhere. */
export async function readFileState(path: string): Promise<FileState | null> {
  const real = await realPathOf(path);
  let stats: Stats;
  try {
    stats = await lstat(path);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    throw fileError('read', path, error);
  }
  if (!stats.isFile() && !stats.isDirectory()) {
    const what = stats.isSymbolicLink() ? 'a link' : 'neither a file nor a directory';
    throw new UserError(`${path} is ${what}: replace it with a plain file or directory`);
  }
  const { uid, gid } = stats;
  const found = { mode: stats.mode & 0o7777, uid, gid };
  if (stats.isDirectory()) return { kind: 'directory', ...found, content: null };
  return { kind: 'file', ...found, content: await readText(path, real) };
}

/** The path with its links resolved. Rejects a link that belongs to another user than root or the present one. */
async function realPathOf(path: string): Promise<string> {
  let real = '/';
  let here = '/';
  for (const name of dirname(path).split('/').filter(Boolean)) {
    here = join(here, name);
    const stats = await lstat(here).catch(() => null);
    if (stats?.isSymbolicLink() && stats.uid !== 0 && stats.uid !== process.getuid?.())
      throw new UserError(`${here} is a link of another user: replace it with a plain directory`);
    real = stats?.isSymbolicLink() ? await realpath(here) : join(real, name);
  }
  return join(real, basename(path));
}

/** Opens a path without following links. Rejects where a directory in it has become a link since `real` was resolved. */
async function openNoFollow(path: string, real: string): Promise<FileHandle> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  // Linux only.
  const opened = await readlink(`/proc/self/fd/${handle.fd}`).catch(() => real);
  if (opened === real) return handle;
  await handle.close();
  throw new Error(`it was replaced meanwhile by ${opened}`);
}

async function readText(path: string, real: string): Promise<string> {
  try {
    const handle = await openNoFollow(path, real);
    try {
      const bytes = await readWhole({ handle }, MAX_BYTES);
      if (bytes === null) throw new Error('it is larger than 16 MiB');
      return bytes.toString('utf8');
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw fileError('read', path, error);
  }
}

/** Larger than any configuration, key, unit or known_hosts file; it bounds the memory. */
const MAX_BYTES = 16 * 1024 * 1024;

export interface Ownership {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** Writes a file atomically. */
export async function putFile(path: string, content: string | Buffer, { mode, uid, gid }: Ownership): Promise<void> {
  try {
    await writeAtomically(path, content, { mode, owner: { uid, gid } });
  } catch (error) {
    throw fileError('write', path, error);
  }
}

/** Sets owner, group and mode, without following links. */
export async function setOwnership(path: string, { mode, uid, gid }: Ownership): Promise<void> {
  const real = await realPathOf(path);
  try {
    const handle = await openNoFollow(path, real);
    try {
      const stats = await handle.stat();
      // The file may have another name where its owner matters.
      if (stats.isFile() && stats.nlink > 1) throw new Error('it has another name elsewhere (a hard link)');
      await handle.chown(uid, gid);
      await handle.chmod(mode);
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw fileError('change the owner of', path, error);
  }
}

/** An error of the file system, with what to do about it. */
export function fileError(verb: string, path: string, error: unknown): UserError {
  if (error instanceof UserError) return error;
  const cure = CURES[errorCode(error) ?? ''];
  return new UserError(`cannot ${verb} ${path}: ${cure ?? errorText(error)}`);
}

const CURES: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full: free some space (`df -h`), and run this again',
  EDQUOT: 'the quota is used up: free some space, and run this again',
  EROFS: 'the file system is mounted read-only: remount it (`mount -o remount,rw`), and run this again',
};

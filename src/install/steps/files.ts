import { constants, type Stats } from 'node:fs';
import { type FileHandle, lstat, open, readlink, realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { errorCode, errorText } from '../../lib/text.ts';
import { writeAtomically } from '../../lib/files/write-atomically.ts';
import { InstallError } from './install-error.ts';

/** What is at a path. */
export interface FileState {
  readonly kind: 'file' | 'directory';
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Of a file. */
  readonly content: string | null;
}

/** Looks without following a link at the end of the path: what root writes must not be led elsewhere by somebody. */
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
    throw new InstallError(`${path} is ${what}: put a plain ${what === 'a link' ? 'file or directory' : 'one'} there`);
  }
  const { uid, gid } = stats;
  const found = { mode: stats.mode & 0o7777, uid, gid };
  if (stats.isDirectory()) return { kind: 'directory', ...found, content: null };
  return { kind: 'file', ...found, content: await readText(path, real) };
}

/** What the path really is: nobody else's link may lie on the way either. */
async function realPathOf(path: string): Promise<string> {
  let real = '/';
  let here = '/';
  for (const name of dirname(path).split('/').filter(Boolean)) {
    here = join(here, name);
    const stats = await lstat(here).catch(() => null);
    if (stats?.isSymbolicLink() && stats.uid !== 0 && stats.uid !== process.getuid?.())
      throw new InstallError(`${here} is a link that somebody else made: put a plain directory there`);
    real = stats?.isSymbolicLink() ? await realpath(here) : join(real, name);
  }
  return join(real, basename(path));
}

/** Opens what is there and no link; nor may a directory on the way have become one since it was looked at. */
async function openNoFollow(path: string, real: string): Promise<FileHandle> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  // Only Linux tells.
  const opened = await readlink(`/proc/self/fd/${handle.fd}`).catch(() => real);
  if (opened === real) return handle;
  await handle.close();
  throw new Error(`it was ${opened} when it was opened`);
}

async function readText(path: string, real: string): Promise<string> {
  try {
    const handle = await openNoFollow(path, real);
    try {
      if ((await handle.stat()).size > MAX_BYTES) throw new Error('it is larger than 16 MiB');
      return await handle.readFile('utf8');
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw fileError('read', path, error);
  }
}

/** No configuration, key, unit or list of host keys is so large; what is may be there to fill our memory. */
const MAX_BYTES = 16 * 1024 * 1024;

export interface Ownership {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** Writes a file whole or not at all. */
export async function putFile(path: string, content: string | Buffer, { mode, uid, gid }: Ownership): Promise<void> {
  try {
    await writeAtomically(path, content, { mode, owner: { uid, gid } });
  } catch (error) {
    throw fileError('write', path, error);
  }
}

/** Gives a file or a directory to somebody, not following a link. */
export async function setOwnership(path: string, { mode, uid, gid }: Ownership): Promise<void> {
  const real = await realPathOf(path);
  try {
    const handle = await openNoFollow(path, real);
    try {
      const stats = await handle.stat();
      // Another name for it may be where it matters who owns it.
      if (stats.isFile() && stats.nlink > 1) throw new Error('it has another name elsewhere (a hard link)');
      await handle.chown(uid, gid);
      await handle.chmod(mode);
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw fileError('give away', path, error);
  }
}

/** What the system says, as something that a person can act on. */
export function fileError(verb: string, path: string, error: unknown): InstallError {
  if (error instanceof InstallError) return error;
  const cure = CURES[errorCode(error) ?? ''];
  return new InstallError(`cannot ${verb} ${path}: ${cure ?? errorText(error)}`);
}

const CURES: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full: free some space (`df -h`) and run this again',
  EDQUOT: 'the quota is used up: free some space and run this again',
  EROFS: 'it is on a disk that is mounted read-only: `mount -o remount,rw` it, and run this again',
};

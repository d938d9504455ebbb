import { pathOwner } from '../../lib/files/path-owner.ts';
import { readRegularFile } from '../../lib/files/read-file.ts';
import { errorCode } from '../../lib/text.ts';
import type { Account } from './accounts.ts';

/** The user and groups that a file is read with. */
export type EffectiveUser = Pick<Account, 'uid' | 'gid'> & {
  /** The user whose groups are set; null for a user that is not in the password database. */
  readonly name: string | null;
};

/** The user whose rights a file is read with for a service of the system: in a user's directory a link could lead anywhere. */
export function ownerOfPath(path: string): EffectiveUser {
  const { uid, gid } = pathOwner(path);
  return { uid, gid, name: uid === 0 ? 'root' : null };
}

/**
 * Runs `work` with the effective user and groups of another user, so that the kernel decides what may be read. They are those of the
 * whole process: nothing else may run meanwhile. Without root nothing is changed.
 */
export async function asUser<T>(user: EffectiveUser, work: () => T | Promise<T>): Promise<T> {
  const restore = setEffectiveUser(user);
  try {
    return await work();
  } finally {
    restore();
  }
}

/** The bytes of a file, read with the rights of the owner of its directory. */
export function readAsOwner(path: string, limit?: number): Buffer {
  const restore = setEffectiveUser(ownerOfPath(path));
  try {
    return readRegularFile(path, limit);
  } finally {
    restore();
  }
}

/** Returns a function that restores the present ones. */
function setEffectiveUser({ uid, gid, name }: EffectiveUser): () => void {
  if (process.getuid?.() !== 0 || uid === 0) return () => {};
  if (process.geteuid?.() !== 0) throw new Error('the effective user is changed already');
  if (!canChangeUser()) return () => {};
  const groups = process.getgroups?.() ?? [];
  const restore = () => {
    process.seteuid?.(0);
    process.setegid?.(process.getgid?.() ?? 0);
    process.setgroups?.(groups);
  };
  try {
    if (name === null) process.setgroups?.([gid]);
    else (process as WithInitgroups).initgroups?.(name, gid);
    process.setegid?.(gid);
    process.seteuid?.(uid);
    return restore;
  } catch (error) {
    restore();
    throw error;
  }
}

/**
 * Node.js refuses setuid where its libuv may use io_uring (CVE-2024-22017), as on Debian 13; setting the present user finds out. What
 * root opens in the directory of another user is checked in any case (checkOpened).
 */
function canChangeUser(): boolean {
  try {
    process.seteuid?.(0);
    return true;
  } catch (error) {
    if (errorCode(error) === 'ERR_INVALID_STATE') return false;
    throw error;
  }
}

/** Missing in @types/node. */
type WithInitgroups = { readonly initgroups?: (user: string, extraGroup: number) => void };

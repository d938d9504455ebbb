import { pathOwner } from '../../lib/files/path-owner.ts';
import { readRegularFile } from '../../lib/files/read-regular-file.ts';
import { errorCode } from '../../lib/text.ts';
import type { Account } from './accounts.ts';

/** As whom a file is read. */
export type EffectiveUser = Pick<Account, 'uid' | 'gid'> & {
  /** Whose groups count; null for a user without a line in the password database. */
  readonly name: string | null;
};

/** With whose rights a file is read for a service of the system: what lies in the place of a user could lead anywhere. */
export function ownerOfPath(path: string): EffectiveUser {
  const { uid, gid } = pathOwner(path);
  return { uid, gid, name: uid === 0 ? 'root' : null };
}

/**
 * Does something with the rights of another user, for whom the kernel then decides what may be read. The rights are those of the
 * whole process: nothing else may go on meanwhile. Somebody who is not root has only the own ones.
 */
export async function asUser<T>(user: EffectiveUser, work: () => T | Promise<T>): Promise<T> {
  const restore = setEffectiveUser(user);
  try {
    return await work();
  } finally {
    restore();
  }
}

/** The bytes of a file, read with the rights of whose place it lies in. */
export function readAsOwner(path: string, limit?: number): Buffer {
  const restore = setEffectiveUser(ownerOfPath(path));
  try {
    return readRegularFile(path, limit);
  } finally {
    restore();
  }
}

/** The answer gives them back. */
function setEffectiveUser({ uid, gid, name }: EffectiveUser): () => void {
  if (process.getuid?.() !== 0 || uid === 0) return () => {};
  if (process.geteuid?.() !== 0) throw new Error('the rights of two users at once');
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
 * Node with a libuv that may use io_uring changes no rights (CVE-2024-22017), as Debian 13's. What root opens in the place of another
 * user is judged in any case (checkRootsOpened); to become what it is changes nothing.
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

/** @types/node does not know it. */
type WithInitgroups = { readonly initgroups?: (user: string, extraGroup: number) => void };

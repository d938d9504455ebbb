import { lstatSync, readlinkSync, realpathSync, type Stats } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { UserError } from '../user-error.ts';
import { orElse } from '../or-else.ts';

/** The user that controls what lies at a path. */
export interface PathOwner {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Finds the user that controls what lies at a path: the owner of the first directory on the way, or of the file at its
 * end, that is not root's, who can put a link there that leads anywhere. In directories that all may write to, their
 * entries count.
 */
export function pathOwner(path: string): PathOwner {
  let here = '/';
  const names = resolve(path).split('/').filter(Boolean);
  for (const [index, name] of names.entries()) {
    here = join(here, name);
    try {
      const stats = lstatSync(here);
      if (stats.uid !== 0) return { uid: stats.uid, gid: stats.gid };
      if (stats.isSymbolicLink()) return pathOwner(join(realpathSync(here), ...names.slice(index + 1)));
    } catch {
      break; // nothing is there, so no link can mislead
    }
  }
  return { uid: 0, gid: 0 };
}

/** Throws where root is about to write into a directory of another user. */
export function checkRootMayWrite(path: string): void {
  if (process.getuid?.() !== 0) return;
  const { uid } = pathOwner(path);
  if (uid !== 0)
    throw new UserError(
      `${dirname(path)} belongs to user ${uid}, and root does not write there: run this as that user`,
    );
}

/** Throws where a directory on the way is a link of another user, which would lead root elsewhere. */
export function checkForeignLinks(path: string): void {
  if (process.getuid?.() !== 0) return;
  let here = '/';
  for (const name of dirname(resolve(path)).split('/').filter(Boolean)) {
    here = join(here, name);
    const stats = lstatSync(here, { throwIfNoEntry: false });
    if (stats?.isSymbolicLink() === true && stats.uid !== 0)
      throw new UserError(`${here} is a link of user ${stats.uid}, which root does not follow: run this as that user`);
  }
}

/**
 * Throws where root has opened, in a place of another user, a file that is not that user's and does not lie there
 * itself: a link led to it, or a directory was swapped between a look and the opening. The descriptor is checked, not
 * the path, so that nothing can be swapped in between. `stats` are those of the descriptor.
 */
export function checkOpened(path: string, fd: number, { uid, nlink }: Pick<Stats, 'uid' | 'nlink'>): void {
  if (process.getuid?.() !== 0) return;
  const { owner, way } = resolveAsRoot(resolve(path), 0);
  if (uid === owner) return;
  // Only Linux reports what was opened.
  const opened = orElse(() => readlinkSync(`/proc/self/fd/${fd}`), null) ?? realpathSync(path);
  // A hard link may lead elsewhere too.
  if (opened === way && (owner === 0 || nlink === 1)) return;
  throw new UserError(
    `${path} is a link to a file of user ${uid}, which root does not follow in a directory of user ${owner}: run this as that user, or name the file itself`,
  );
}

/** The owner of the place, and where it leads by the links of root. Throws where a part of it is gone by now. */
function resolveAsRoot(path: string, links: number): { readonly owner: number; readonly way: string } {
  let here = '/';
  let owner = 0;
  const names = path.split('/').filter(Boolean);
  for (const [index, name] of names.entries()) {
    here = join(here, name);
    const stats = lstatSync(here);
    if (owner === 0) owner = stats.uid;
    if (!stats.isSymbolicLink() || owner !== 0) continue;
    if (links === MAX_LINKS) throw new UserError(`${path}: too many links`);
    return resolveAsRoot(join(resolve(dirname(here), readlinkSync(here)), ...names.slice(index + 1)), links + 1);
  }
  return { owner, way: here };
}

/** The kernel's limit (path_resolution(7)). */
const MAX_LINKS = 40;

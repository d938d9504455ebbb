import { lstatSync, realpathSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { UserError } from '../user-error.ts';

/** Who decides what lies at a path. */
export interface PlaceOwner {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Whose word it is what lies at a path: the first directory on the way, or the file at its end, that is not root's decides, for its
 * owner can put a link there that leads anywhere. Directories that all may write to count by what lies in them.
 */
export function ownerOfPlace(path: string): PlaceOwner {
  let here = '/';
  const names = resolve(path).split('/').filter(Boolean);
  for (const [index, name] of names.entries()) {
    here = join(here, name);
    try {
      const stats = lstatSync(here);
      if (stats.uid !== 0) return { uid: stats.uid, gid: stats.gid };
      if (stats.isSymbolicLink()) return ownerOfPlace(join(realpathSync(here), ...names.slice(index + 1)));
    } catch {
      break; // nothing is there, and nothing can be led astray
    }
  }
  return { uid: 0, gid: 0 };
}

/** Throws where root is about to write into a directory of another user, or of all. */
export function checkRootsPlace(path: string): void {
  if (process.getuid?.() !== 0) return;
  const { uid } = ownerOfPlace(path);
  if (uid !== 0)
    throw new Error(
      `${dirname(path)} belongs to the user ${uid}, and root writes nothing there: run this as that user`,
    );
}

/** Throws where a directory on the way is a link of another user, by which root would be led elsewhere. */
export function checkRootsWay(path: string): void {
  if (process.getuid?.() !== 0) return;
  let here = '/';
  for (const name of dirname(resolve(path)).split('/').filter(Boolean)) {
    here = join(here, name);
    const stats = lstatSync(here, { throwIfNoEntry: false });
    if (stats?.isSymbolicLink() === true && stats.uid !== 0)
      throw new UserError(
        `${here} is a link of the user ${stats.uid}, which root does not follow: run this as that user`,
      );
  }
}

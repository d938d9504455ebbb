import { mkdirSync, statSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { inDirectorySync } from './open-directory.ts';
import { orElse } from '../or-else.ts';

/**
 * Creates a directory with all missing parents, of mode 0700. Node's own recursive mkdir never ends where the system
 * says ENOENT though the parent exists (/proc, and FUSE).
 */
export function makeDirectory(path: string): void {
  if (isDirectory(path)) return;
  if (dirname(path) !== path) makeDirectory(dirname(path));
  try {
    inDirectorySync(dirname(path), (parent) => mkdirSync(parent.at(basename(path)), 0o700));
  } catch (error) {
    // Another process may have been quicker.
    if (!isDirectory(path)) throw error;
  }
}

function isDirectory(path: string): boolean {
  return orElse(() => statSync(path).isDirectory(), false);
}

import { dirname } from 'node:path';
import { makeDirectory } from './make-directory.ts';
import { checkRootsPlace } from './place-owner.ts';
import { writeWholeSync } from './whole-file.ts';

/** Writes a file of what the daemon has learnt, with mode 0600, into a directory that is made where it is missing. */
export function writeDurably(path: string, text: string): void {
  checkRootsPlace(path);
  makeDirectory(dirname(path));
  writeWholeSync(path, text, 0o600);
}

import { dirname } from 'node:path';
import { newest } from '../async/newest.ts';
import { makeDirectory } from './make-directory.ts';
import { checkRootMayWrite } from './path-owner.ts';
import { writeAtomically } from './write-atomically.ts';

/** Writes a file of what the daemon has learnt, flushed, with mode 0600, into a directory that is made where it is missing. */
export async function writeDurably(path: string, text: string): Promise<void> {
  checkRootMayWrite(path);
  makeDirectory(dirname(path));
  await writeAtomically(path, text, { mode: 0o600, owner: null });
}

/** A file that is written anew at each change, beside the event loop: to flush it may take an SD card seconds. */
export interface DurableFile {
  /** Has what `text` answers then written; of several changes during one write only the last is. */
  changed(): void;
  /** Resolves when all changes are on disk, or could not be written. Never rejects. */
  written(): Promise<void>;
}

/** `onEnd` is told how each write ended: null, or what went wrong. */
export function durableFile(path: string, text: () => string, onEnd: (error: unknown) => void): DurableFile {
  const writes = newest<null>(() => writeDurably(path, text()).then(() => onEnd(null), onEnd));
  return { changed: () => writes.put(null), written: writes.idle };
}

import { dirname } from 'node:path';
import { newest } from '../async/newest.ts';
import { makeDirectory } from './make-directory.ts';
import { checkRootMayWrite } from './path-owner.ts';
import { writeAtomically } from './write-atomically.ts';

/** Writes a state file of the daemon, flushed, with mode 0600, into a directory that is created where it is missing. */
export async function writeDurably(path: string, text: string): Promise<void> {
  checkRootMayWrite(path);
  makeDirectory(dirname(path));
  await writeAtomically(path, text, { mode: 0o600, owner: null });
}

/** A file that is written anew at each change, without blocking the event loop: a flush may take an SD card seconds. */
export interface DurableFile {
  /** Writes the result of `text`; of several changes during one write only the last is written. */
  changed(): void;
  /** Resolves when all changes are on disk, or could not be written. Never rejects. */
  written(): Promise<void>;
}

/** `onEnd` is called after each write, with null or with its error. */
export function durableFile(path: string, text: () => string, onEnd: (error: unknown) => void): DurableFile {
  const writes = newest<null>(() => writeDurably(path, text()).then(() => onEnd(null), onEnd));
  return { changed: () => writes.put(null), written: writes.idle };
}

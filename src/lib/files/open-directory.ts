import { closeSync, constants, existsSync, fstatSync, openSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { checkOpened, type PathOwner } from './path-owner.ts';

/** A directory in which files are made, replaced or removed. */
export interface OpenDirectory {
  /** The path of one of its names. For root it begins at the open directory, and leads there whatever has been exchanged since. */
  at(name: string): string;
  owner(): PathOwner;
}

/**
 * Does something in a directory. Where root does it in the place of another user, the directory is opened once and judged as an open file
 * is (checkRootsOpened), and the work goes by its descriptor: a directory or a link that is put in its place in between leads nowhere. So it
 * is on Linux; elsewhere no path leads through a descriptor, and the judgement alone is left.
 */
export async function inDirectory<T>(path: string, work: (directory: OpenDirectory) => T | Promise<T>): Promise<T> {
  const { directory, close, named } = open(path);
  try {
    return await work(directory);
  } catch (error) {
    throw named(error);
  } finally {
    close();
  }
}

/** The same for what cannot wait. */
export function inDirectorySync<T>(path: string, work: (directory: OpenDirectory) => T): T {
  const { directory, close, named } = open(path);
  try {
    return work(directory);
  } catch (error) {
    throw named(error);
  } finally {
    close();
  }
}

interface Opened {
  readonly directory: OpenDirectory;
  close(): void;
  /** An error with the path that people know. */
  named(error: unknown): unknown;
}

function open(path: string): Opened {
  if (process.getuid?.() !== 0) {
    const directory: OpenDirectory = { at: (name) => join(path, name), owner: () => statSync(path) };
    return { directory, close: () => {}, named: (error) => error };
  }
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NONBLOCK);
  try {
    const { uid, gid } = fstatSync(fd);
    // A directory has no second name.
    checkOpened(path, fd, { uid, nlink: 1 });
    const anchor = `/proc/self/fd/${fd}`;
    const start = existsSync(`${anchor}/.`) ? anchor : path;
    const named = (error: unknown) => {
      if (error instanceof Error) error.message = error.message.replaceAll(`${anchor}/`, `${path}/`);
      return error;
    };
    return {
      directory: { at: (name) => `${start}/${name}`, owner: () => ({ uid, gid }) },
      close: () => closeSync(fd),
      named,
    };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

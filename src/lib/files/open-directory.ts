import { closeSync, constants, existsSync, fstatSync, openSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { checkOpened, type PathOwner } from './path-owner.ts';

/** A directory in which files are created, replaced or removed. */
export interface OpenDirectory {
  /**
   * The path of an entry. For root it begins at the open directory, and leads there whatever has been swapped since.
   */
  at(name: string): string;
  owner(): PathOwner;
}

/**
 * Works in a directory. Where root does so in a place of another user, the directory is opened once and checked like an
 * open file (checkOpened), and the work goes through its descriptor: a directory or a link that is swapped in leads
 * nowhere. This holds on Linux; elsewhere no path leads through a descriptor, and only the check remains.
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

/** The same for synchronous work. */
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
  /** The error with the path that people know. */
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
    // A directory has no hard links.
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

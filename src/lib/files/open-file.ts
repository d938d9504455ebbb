import { constants, type Stats } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { checkOpened } from './path-owner.ts';

/** A file that is open for reading, and its attributes as they were when it was opened. */
export interface OpenFile {
  readonly handle: FileHandle;
  readonly stats: Stats;
}

export interface OpenOptions {
  /** More flags for open(2), such as O_NOFOLLOW. */
  readonly flags?: number;
  /** The path by which people know the file, where it is opened by another one. */
  readonly knownAs?: string;
}

/**
 * Opens a file, does `work` with it and closes it. Checks are made on the descriptor, so that nothing can be swapped in
 * between; for root also whether the file may be opened at all (checkOpened). A pipe is opened without waiting for its
 * writer, which could hold one of Node's few threads for ever. Rejects with the system's error.
 */
export async function withFile<T>(
  path: string,
  work: (file: OpenFile) => T | Promise<T>,
  { flags = 0, knownAs = path }: OpenOptions = {},
): Promise<T> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY | flags);
  try {
    const stats = await handle.stat();
    if (stats.isFile()) checkOpened(knownAs, handle.fd, stats);
    return await work({ handle, stats });
  } finally {
    await handle.close();
  }
}

/** All bytes of a file; null where there are more than `limit`. */
export async function readWhole({ handle }: Pick<OpenFile, 'handle'>, limit: number): Promise<Buffer | null> {
  const bytes = await readAtMost(handle, limit + 1);
  return bytes.length > limit ? null : bytes;
}

/**
 * The first `limit` bytes of a file, or all. Does not rely on the size, which devices and the files of /proc do not
 * have.
 */
export async function readAtMost(handle: FileHandle, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  while (length < limit) {
    const chunk = Buffer.alloc(Math.min(CHUNK_BYTES, limit - length));
    const { bytesRead } = await handle.read(chunk, 0, chunk.length, null);
    if (bytesRead === 0) break;
    chunks.push(chunk.subarray(0, bytesRead));
    length += bytesRead;
  }
  return Buffer.concat(chunks, length);
}

const CHUNK_BYTES = 64 * 1024;

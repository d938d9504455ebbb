import { spawn } from 'node:child_process';
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { errorCode } from '../text.ts';

/** `missing` where the program that locks is not installed. */
export type Locked = FileHandle | 'held' | 'missing';

/**
 * Opens a file, creates it where it is missing, and locks it: `held` where another process has the lock. The kernel releases it when the
 * handle is closed, and when this process ends, however it does. Rejects where the file cannot be opened.
 *
 * Node.js has no flock(2). On Linux flock(1) takes the lock on a descriptor that it inherits; on macOS open(2) does so itself.
 */
export async function openLocked(path: string): Promise<Locked> {
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
  if (process.platform === 'darwin') return await openExclusively(path, flags);
  const handle = await open(path, flags, 0o600);
  const code = await flock(handle);
  if (code === 0) return handle;
  await handle.close();
  return code === 1 ? 'held' : 'missing';
}

async function openExclusively(path: string, flags: number): Promise<Locked> {
  try {
    return await open(path, flags | O_EXLOCK | constants.O_NONBLOCK, 0o600);
  } catch (error) {
    if (errorCode(error) === 'EAGAIN') return 'held';
    throw error;
  }
}

/** From <sys/fcntl.h> of macOS; Node.js passes it on. */
const O_EXLOCK = 0x20;

/** Its exit code, which is 1 where the lock is held; null where there is no such program. */
function flock(handle: FileHandle): Promise<number | null> {
  return new Promise((resolve) => {
    const child = spawn('flock', ['--nonblock', '--exclusive', '3'], {
      stdio: ['ignore', 'ignore', 'ignore', handle.fd],
    });
    child.once('error', () => resolve(null));
    child.once('exit', resolve);
  });
}

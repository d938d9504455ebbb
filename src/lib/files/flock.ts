import { spawn } from 'node:child_process';
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { errorCode } from '../text.ts';

/** `missing` where the program that locks is not installed. */
export type Locked = FileHandle | 'held' | 'missing';

/**
 * Opens a file, creates it where it is missing, and locks it: `held` where another process has the lock. The kernel releases it when the
 * handle is closed, and when this process ends, however it does. Rejects where the file cannot be opened, or not be locked.
 *
 * Node.js has no flock(2). On Linux flock(1) takes the lock on a descriptor that it inherits; on macOS open(2) does so itself.
 */
export async function openLocked(path: string): Promise<Locked> {
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
  if (process.platform === 'darwin') return await openExclusively(path, flags);
  const handle = await open(path, flags, 0o600);
  try {
    const outcome = await flock(handle);
    if (outcome === 'locked') return handle;
    await handle.close();
    return outcome;
  } catch (error) {
    await handle.close();
    throw error;
  }
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

/** By flock(1), whose exit code is 1 where the lock is held. Rejects where it fails otherwise: a file system may have no locks. */
function flock(handle: FileHandle): Promise<'locked' | 'held' | 'missing'> {
  return new Promise((resolve, reject) => {
    const child = spawn('flock', ['--nonblock', '--exclusive', '3'], {
      stdio: ['ignore', 'ignore', 'ignore', handle.fd],
    });
    child.once('error', (error) => {
      if (errorCode(error) === 'ENOENT') resolve('missing');
      else reject(error);
    });
    child.once('exit', (code, signal) => {
      if (code === 0 || code === 1) resolve(code === 0 ? 'locked' : 'held');
      else reject(new Error(`flock(1) cannot lock it (${signal ?? `exit code ${code}`})`));
    });
  });
}

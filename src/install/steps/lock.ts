import { spawn } from 'node:child_process';
import { open, type FileHandle } from 'node:fs/promises';
import { InstallError } from './install-error.ts';
import { fileError } from './files.ts';

/**
 * Keeps a second installation out until the answer is called, or this process is gone, however it ended: the kernel lets go of
 * a lock with the last descriptor. Node cannot lock, so flock(1) does it, on a descriptor that it shares with us.
 */
export async function lock(path: string): Promise<() => Promise<void>> {
  const handle = await open(path, 'a', 0o600).catch((error: unknown) => {
    throw fileError('write', path, error);
  });
  const code = await flock(handle);
  if (code === 0) return () => handle.close();
  await handle.close();
  throw new InstallError(
    code === 1
      ? `another tunneld install or uninstall is at work (${path}): let it end, and run this again`
      : 'the program flock is missing, which keeps two installations apart: install util-linux',
  );
}

function flock(handle: FileHandle): Promise<number | null> {
  return new Promise((resolve) => {
    const child = spawn('flock', ['--nonblock', '--exclusive', '3'], {
      stdio: ['ignore', 'ignore', 'ignore', handle.fd],
    });
    child.once('error', () => resolve(null));
    child.once('exit', resolve);
  });
}

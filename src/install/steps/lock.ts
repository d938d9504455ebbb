import { spawn } from 'node:child_process';
import { open, type FileHandle } from 'node:fs/promises';
import { UserError } from '../../lib/user-error.ts';
import { fileError } from './files.ts';

/**
 * Takes a lock against a second installation. Resolves with a function that releases it; the kernel does so too when this process
 * ends. Node.js has no flock(2): flock(1) takes it on a descriptor that it inherits.
 */
export async function lock(path: string): Promise<() => Promise<void>> {
  const handle = await open(path, 'a', 0o600).catch((error: unknown) => {
    throw fileError('write', path, error);
  });
  const code = await flock(handle);
  if (code === 0) return () => handle.close();
  await handle.close();
  throw new UserError(
    code === 1
      ? `another tunneld install or uninstall is running (lock ${path}): wait until it ends, and run this again`
      : 'the program flock is missing, which locks the installation: install util-linux',
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

import { openLocked } from '../../lib/files/flock.ts';
import { UserError } from '../../lib/user-error.ts';
import { fileError } from './files.ts';

/** Does work with a lock against a second installation. The kernel releases it, too, when this process ends. */
export async function withLock<T>(path: string, work: () => Promise<T>): Promise<T> {
  const locked = await openLocked(path).catch((error: unknown) => {
    throw fileError('write', path, error);
  });
  if (typeof locked === 'string')
    throw new UserError(
      locked === 'held'
        ? `another tunneld install or uninstall is running (lock ${path}): wait until it ends, and run this again`
        : 'the program flock is missing, which locks the installation: install util-linux',
    );
  try {
    return await work();
  } finally {
    await locked.close();
  }
}

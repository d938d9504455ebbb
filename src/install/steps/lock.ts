import { openLocked } from '../../lib/files/flock.ts';
import { UserError } from '../../lib/user-error.ts';
import { fileError } from './files.ts';

/**
 * Takes a lock against a second installation. Resolves with a function that releases it; the kernel does so too when this process
 * ends.
 */
export async function lock(path: string): Promise<() => Promise<void>> {
  const locked = await openLocked(path).catch((error: unknown) => {
    throw fileError('write', path, error);
  });
  if (typeof locked !== 'string') return () => locked.close();
  throw new UserError(
    locked === 'held'
      ? `another tunneld install or uninstall is running (lock ${path}): wait until it ends, and run this again`
      : 'the program flock is missing, which locks the installation: install util-linux',
  );
}

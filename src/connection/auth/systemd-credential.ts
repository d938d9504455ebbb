import { join, relative, resolve } from 'node:path';

/**
 * The paths of possible copies of a file below the service's configuration directory, the newest first; none for other
 * files, and outside the service. systemd makes one at each start: the unit's `LoadCredential=etc:/etc/tunneld` names
 * each file `etc_` and its path with `_` for `/`, and leaves hidden ones out. Root makes one under the same name at
 * each reload.
 */
export function copiesOf(path: string, env: Readonly<Record<string, string | undefined>>): readonly string[] {
  const credentials = env['CREDENTIALS_DIRECTORY'];
  if (!credentials) return [];
  const name = copyName(path, firstOf(env['CONFIGURATION_DIRECTORY']) ?? '/etc/tunneld');
  const ofReload = `${firstOf(env['RUNTIME_DIRECTORY']) ?? '/run/tunneld'}-keys`;
  return name === null ? [] : [join(ofReload, name), join(credentials, name)];
}

/** The name of the copy of a file below that directory; null where it has none. */
export function copyName(path: string, directory: string): string | null {
  const below = relative(resolve(directory), resolve(path));
  const parts = below.split('/');
  return below === '' || parts.some((part) => part.startsWith('.')) ? null : `etc_${parts.join('_')}`;
}

/** Several directories are separated by colons (systemd.exec(5)). */
function firstOf(directories: string | undefined): string | null {
  return directories?.split(':')[0] || null;
}

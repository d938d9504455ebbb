import { join, relative, resolve } from 'node:path';

/**
 * Where systemd put the copy of a file below the service's configuration directory, or null where it makes none. The unit's
 * `LoadCredential=etc:/etc/tunneld` names each file `etc_` and its path with `_` for `/`, and leaves hidden ones out.
 */
export function credentialOf(path: string, env: Readonly<Record<string, string | undefined>>): string | null {
  const copies = env['CREDENTIALS_DIRECTORY'];
  if (!copies) return null;
  const directory = env['CONFIGURATION_DIRECTORY']?.split(':')[0] || '/etc/tunneld';
  const below = relative(resolve(directory), resolve(path));
  const parts = below.split('/');
  if (below === '' || parts.some((part) => part.startsWith('.'))) return null;
  return join(copies, `etc_${parts.join('_')}`);
}

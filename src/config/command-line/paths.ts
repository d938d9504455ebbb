import { basename, dirname, join } from 'node:path';
import type { ConfigEnvironment } from '../input/environment.ts';
import { defaultControlSocket, defaultStateDirectory } from '../input/paths.ts';

/** Where the daemon of a command line listens for the other commands: beside the place of the usual one. */
export function adHocSocket(name: string, env: ConfigEnvironment): string {
  return join(dirname(defaultControlSocket(env)), `${PREFIX}${name}${SUFFIX}`);
}

/** Where it keeps what it has learnt. */
export function adHocState(name: string, env: ConfigEnvironment): string {
  return join(defaultStateDirectory(env), `${PREFIX}${name}`);
}

/** The name of the tunnel behind such a socket, or null for another file: whoever made it may have called it anything. */
export function tunnelOfSocket(path: string): string | null {
  const file = basename(path);
  if (!file.startsWith(PREFIX) || !file.endsWith(SUFFIX)) return null;
  const name = file.slice(PREFIX.length, -SUFFIX.length);
  return /^[a-z0-9][a-z0-9_-]*$/.test(name) ? name : null;
}

const PREFIX = 'run-';
const SUFFIX = '.sock';

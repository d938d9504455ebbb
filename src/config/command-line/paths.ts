import { basename, dirname, join } from 'node:path';
import type { ConfigEnvironment } from '../input/environment.ts';
import { defaultControlSocket, defaultStateDirectory } from '../input/paths.ts';
import { TUNNEL_NAME } from '../../model/spec.ts';

/** The control socket of a command line's daemon: beside the default one. */
export function adHocSocket(name: string, env: ConfigEnvironment): string {
  return join(dirname(defaultControlSocket(env)), `${PREFIX}${name}${SUFFIX}`);
}

/** The state directory of a command line's daemon. */
export function adHocState(name: string, env: ConfigEnvironment): string {
  return join(defaultStateDirectory(env), `${PREFIX}${name}`);
}

/** The name of the tunnel behind such a socket; null for other files and invalid names. */
export function tunnelOfSocket(path: string): string | null {
  const file = basename(path);
  if (!file.startsWith(PREFIX) || !file.endsWith(SUFFIX)) return null;
  const name = file.slice(PREFIX.length, -SUFFIX.length);
  return TUNNEL_NAME.test(name) ? name : null;
}

const PREFIX = 'run-';
const SUFFIX = '.sock';

import { join, resolve } from 'node:path';
import type { ConfigEnvironment } from './environment.ts';

/** The paths to look for a configuration, in order; the first existing file is used. A path that the user named is the only one. */
export function configCandidates(flag: string | null, env: ConfigEnvironment): readonly string[] {
  const named = flag ?? env.env['TUNNELD_CONFIG'];
  if (named) return [named];
  const etc = env.platform === 'darwin' ? '/usr/local/etc' : '/etc';
  return [join(etc, 'tunneld/config.yaml'), join(env.home, '.config/tunneld/config.yaml')];
}

/** The path of a candidate that may replace `file`. */
export function candidatePath(file: string, name: string): string {
  return `${file}.${name}.candidate`;
}

export function defaultControlSocket(env: ConfigEnvironment): string {
  const runtime = firstOfList(env.env['RUNTIME_DIRECTORY']);
  if (runtime) return join(runtime, SOCKET_NAME);
  if (env.uid === 0) return join(env.platform === 'darwin' ? MAC_DIRECTORY : '/run/tunneld', SOCKET_NAME);
  const session = env.env['XDG_RUNTIME_DIR'];
  return session ? join(session, 'tunneld', SOCKET_NAME) : join(defaultStateDirectory(env), SOCKET_NAME);
}

export function defaultStateDirectory(env: ConfigEnvironment): string {
  const state = firstOfList(env.env['STATE_DIRECTORY']);
  if (state) return state;
  if (env.uid === 0) return env.platform === 'darwin' ? MAC_DIRECTORY : '/var/lib/tunneld';
  return join(env.env['XDG_STATE_HOME'] || join(env.home, '.local/state'), 'tunneld');
}

/** The default log file; null is standard error. */
export function defaultLogFile(env: Pick<ConfigEnvironment, 'env' | 'directory'>): string | null {
  const file = env.env['TUNNELD_LOG_FILE'];
  return file ? resolve(env.directory, file) : null;
}

const SOCKET_NAME = 'control.sock';

/** For socket and state on macOS, which empties /var/run at every boot, where only root could create the directory again. */
const MAC_DIRECTORY = '/var/db/tunneld';

/** systemd separates the directories of RuntimeDirectory= and StateDirectory= by colons (systemd.exec(5)). */
function firstOfList(list: string | undefined): string | undefined {
  return list?.split(':')[0];
}

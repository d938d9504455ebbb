import { join, resolve } from 'node:path';
import type { ConfigEnvironment } from './environment.ts';

/** Where a configuration is looked for; the first file that exists is the one. Something named by the user is the only candidate. */
export function configCandidates(flag: string | null, env: ConfigEnvironment): readonly string[] {
  const named = flag ?? env.env['TUNNELD_CONFIG'];
  if (named) return [named];
  const etc = env.platform === 'darwin' ? '/usr/local/etc' : '/etc';
  return [join(etc, 'tunneld/config.yaml'), join(env.home, '.config/tunneld/config.yaml')];
}

/** Where a configuration lies that may take the place of `file`; the name tells it from others. */
export function candidatePath(file: string, name: string): string {
  return `${file}.${name}.candidate`;
}

/** Where the daemon listens for the other commands. */
export function defaultControlSocket(env: ConfigEnvironment): string {
  const runtime = firstOfList(env.env['RUNTIME_DIRECTORY']);
  if (runtime) return join(runtime, SOCKET_NAME);
  if (env.uid === 0) return join(env.platform === 'darwin' ? MAC_DIRECTORY : '/run/tunneld', SOCKET_NAME);
  const session = env.env['XDG_RUNTIME_DIR'];
  return session ? join(session, 'tunneld', SOCKET_NAME) : join(defaultStateDirectory(env), SOCKET_NAME);
}

/** Where the daemon keeps what it has learnt. */
export function defaultStateDirectory(env: ConfigEnvironment): string {
  const state = firstOfList(env.env['STATE_DIRECTORY']);
  if (state) return state;
  if (env.uid === 0) return env.platform === 'darwin' ? MAC_DIRECTORY : '/var/lib/tunneld';
  return join(env.env['XDG_STATE_HOME'] || join(env.home, '.local/state'), 'tunneld');
}

/** Where the log goes when the configuration names no file: null is standard error. */
export function defaultLogFile(env: Pick<ConfigEnvironment, 'env' | 'directory'>): string | null {
  const file = env.env['TUNNELD_LOG_FILE'];
  return file ? resolve(env.directory, file) : null;
}

const SOCKET_NAME = 'control.sock';

/** For both on a Mac: /var/run is emptied at every start there, and only root could make a directory in it again. */
const MAC_DIRECTORY = '/var/db/tunneld';

/** systemd separates the directories of RuntimeDirectory= and StateDirectory= by colons (systemd.exec(5)). */
function firstOfList(list: string | undefined): string | undefined {
  return list?.split(':')[0];
}

import { readFile } from 'node:fs/promises';
import { systemEnvironment } from '../config/environment.ts';
import { defaultControlSocket } from '../config/paths.ts';
import { findConfig } from './find-config.ts';

/**
 * Where the daemon may listen: what the configuration says, else this user's default, else the system's. A configuration that is
 * broken is no reason not to find the daemon that still runs on an older one.
 */
export async function controlSockets(flag: string | null): Promise<readonly string[]> {
  const environment = systemEnvironment();
  const named = await socketOfConfig(await findConfig(flag));
  const system = defaultControlSocket({ ...environment, uid: 0, env: {} });
  return [...new Set([...(named === null ? [] : [named]), defaultControlSocket(environment), system])];
}

async function socketOfConfig(file: string): Promise<string | null> {
  const text = await readFile(file, 'utf8').catch(() => '');
  // Most configurations name none, and then the parser need not be loaded.
  if (!/\bsocket\b/.test(text)) return null;
  const { peekSocket } = await import('../config/peek-socket.ts');
  return peekSocket(text, file, systemEnvironment().home);
}

import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
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
  if (!/\bsocket\b/.test(text)) return null;
  const { parse } = await import('yaml');
  try {
    const socket: unknown = (parse(text) as { control?: { socket?: unknown } } | null)?.control?.socket;
    if (typeof socket !== 'string') return null;
    const expanded = socket.startsWith('~/') ? resolve(systemEnvironment().home, socket.slice(2)) : socket;
    return resolve(dirname(resolve(file)), expanded);
  } catch {
    return null;
  }
}

import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { tunnelOfSocket } from '../../config/command-line/paths.ts';
import { type ConfigEnvironment, systemEnvironment } from '../../config/input/environment.ts';
import { defaultControlSocket } from '../../config/input/paths.ts';
import { readText } from '../../lib/files/read-file.ts';
import { findConfig } from './config-file.ts';

/**
 * Where the daemon may listen: what the configuration says, else this user's default, else the system's. A broken configuration does not
 * hide the daemon that still runs on an older one. Where the user names no configuration, daemons that run on a command line count too:
 * that of the tunnel asked for before all others; without a name, all of them last.
 */
export async function controlSockets(flag: string | null, tunnel: string | null): Promise<readonly string[]> {
  const environment = systemEnvironment();
  const named = await socketOfConfig(await findConfig(flag));
  const system = { ...environment, uid: 0, env: {} };
  const usual = [...(named === null ? [] : [named]), defaultControlSocket(environment), defaultControlSocket(system)];
  if (flag !== null || environment.env['TUNNELD_CONFIG']) return [...new Set(usual)];
  const adHoc = [...(await adHocSockets(environment)), ...(await adHocSockets(system))];
  const own = adHoc.filter((path) => tunnelOfSocket(path) === tunnel);
  return [...new Set([...own, ...usual, ...(tunnel === null ? adHoc : [])])];
}

/** Those that exist; whether a daemon listens there has to be asked. */
export async function adHocSockets(environment: ConfigEnvironment): Promise<readonly string[]> {
  const directory = dirname(defaultControlSocket(environment));
  const names = await readdir(directory).catch(() => []);
  return names
    .filter((name) => tunnelOfSocket(name) !== null)
    .toSorted((a, b) => (tunnelOfSocket(a) ?? '').localeCompare(tunnelOfSocket(b) ?? ''))
    .map((name) => join(directory, name));
}

async function socketOfConfig(file: string): Promise<string | null> {
  const text = await readText(file).catch(() => '');
  // Most configurations name none, and then the parser need not be loaded.
  if (!/\bsocket\b/.test(text)) return null;
  const { peek } = await import('../../config/read-leniently.ts');
  return peek(text, file, systemEnvironment().home).socket;
}

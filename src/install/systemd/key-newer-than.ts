import { stat } from 'node:fs/promises';
import type { TunnelSpec } from '../../model/spec.ts';
import { filesOf } from './config-files.ts';
import { ETC } from './service-paths.ts';

/** Whether a key or secret of the tunnel is newer than the credentials of the service, which started at `startedAt` (milliseconds since 1970). */
export async function hasNewKey(tunnel: TunnelSpec, startedAt: number): Promise<boolean> {
  const credentials = filesOf({ tunnels: [tunnel] }).secrets.filter((path) => path.startsWith(`${ETC}/`));
  const found = await Promise.all(credentials.map((path) => stat(path).catch(() => null)));
  return found.some((stats) => stats !== null && stats.mtimeMs > startedAt);
}

import { stat } from 'node:fs/promises';
import type { TunnelSpec } from '../../model/spec.ts';
import { filesOf } from './config-files.ts';
import { ETC } from './service-paths.ts';

/** Whether a key or secret of the tunnel is newer than the credentials of the service, which started at `startedAt` (milliseconds since 1970). */
export async function hasNewKey(tunnel: TunnelSpec, startedAt: number): Promise<boolean> {
  const credentials = filesOf({ tunnels: [tunnel] }).secrets.filter((path) => path.startsWith(`${ETC}/`));
  const times = await Promise.all(credentials.map(changedAt));
  return times.some((time) => time > startedAt);
}

async function changedAt(path: string): Promise<number> {
  return await stat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => 0,
  );
}

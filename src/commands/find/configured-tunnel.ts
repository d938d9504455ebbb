import { systemEnvironment } from '../../config/input/environment.ts';
import { loadConfig } from '../../config/load.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import { noSuchTunnel } from '../text/no-such-tunnel.ts';
import { findConfig } from './config-file.ts';

/** One tunnel of the configuration, and all of them. Throws a UserError where there is none of this name. */
export async function configuredTunnel(
  flag: string | null,
  name: string,
): Promise<{ readonly tunnel: TunnelSpec; readonly all: readonly TunnelSpec[] }> {
  const { tunnels } = await loadConfig(await findConfig(flag), systemEnvironment());
  const tunnel = tunnels.find((one) => one.name === name);
  if (tunnel === undefined) throw noSuchTunnel(name, tunnels);
  return { tunnel, all: tunnels };
}

import { systemEnvironment } from '../../config/input/environment.ts';
import { loadConfig } from '../../config/load.ts';
import { ConfigError } from '../../config/input/problem.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import { reportProblems } from '../text/config-problems.ts';
import { findConfig } from './config-file.ts';
import { noSuchTunnel } from '../text/no-such-tunnel.ts';

/** One tunnel of the configuration and all of them, or the exit code of a command that has said why there is none. */
export async function configuredTunnel(
  flag: string | null,
  name: string,
): Promise<{ readonly tunnel: TunnelSpec; readonly all: readonly TunnelSpec[] } | { readonly exit: number }> {
  try {
    const { tunnels } = await loadConfig(await findConfig(flag), systemEnvironment());
    const tunnel = tunnels.find((one) => one.name === name);
    if (tunnel !== undefined) return { tunnel, all: tunnels };
    return { exit: noSuchTunnel(name, tunnels) };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { exit: reportProblems(error) };
  }
}

import { hostKeyFor } from '../../setup/host-key-record.ts';
import { readHostKeys } from '../../host/host-keys.ts';
import { hasPort } from '../../server-rules/choose-port.ts';
import { sharingUser } from '../../server-rules/same-login.ts';
import { nixosModule } from '../../setup/script/nixos.ts';
import { systemClock } from '../../lib/async/clock.ts';
import { wrongUsage } from '../../lib/user-error.ts';
import { readLoginKeys } from '../../setup/login-keys.ts';
import { comment } from '../../setup/script/quote.ts';
import { setUpManyScript, undoManyScript } from '../../setup/script/many.ts';
import { setUpScript } from '../../setup/script/set-up.ts';
import { LINUX, MACOS } from '../../setup/script/system.ts';
import { undoScript } from '../../setup/script/undo.ts';
import { checkUser } from '../../server-rules/names.ts';
import { type KeyedTunnel, type ServerSetup, serverSetup } from '../../server-rules/server-setup.ts';
import { formatAddress } from '../../model/endpoint.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import { configuredTunnel } from '../find/configured-tunnel.ts';

export interface ServerSetupOptions {
  readonly jump: boolean;
  readonly undo: boolean;
  /** Whether the script makes a spare host key. */
  readonly spareHostKey?: boolean;
  /** A directory with the configurations of many devices. */
  readonly from: string | null;
  readonly for: 'debian' | 'nixos' | 'macos';
}

/** Prints what is to be run on the server, or pasted there; nothing is done here. */
export async function printServerSetup(
  config: string | null,
  name: string | null,
  options: ServerSetupOptions,
): Promise<void> {
  if (options.spareHostKey === true && (options.undo || options.from !== null || options.for === 'nixos'))
    throw wrongUsage('--spare-host-key is for the script of one tunnel, for Debian or macOS');
  if (options.from !== null) {
    process.stdout.write(await textForMany(options.from, name, options));
    return;
  }
  if (name === null) throw wrongUsage('name a tunnel, or a directory of configurations (--from)');
  const { tunnel, all } = await configuredTunnel(config, name);
  process.stdout.write(await serverSetupText(tunnel, all, options));
}

async function textForMany(
  directory: string,
  name: string | null,
  { jump, undo, for: kind }: ServerSetupOptions,
): Promise<string> {
  if (kind === 'nixos')
    throw wrongUsage('--from prints a script, and NixOS needs a module for each device: leave one of them out');
  const { devicesOf } = await import('./devices-of.ts');
  const { devices, server } = await devicesOf(directory, { name, jump });
  const system = kind === 'macos' ? MACOS : LINUX;
  return undo ? undoManyScript(devices, system, server) : setUpManyScript(devices, system, server);
}

/** The text for the server. Throws a UserError where it cannot be set up for this tunnel. */
export async function serverSetupText(
  tunnel: TunnelSpec,
  all: readonly TunnelSpec[],
  { jump, undo, spareHostKey = false, for: system }: Omit<ServerSetupOptions, 'from'>,
): Promise<string> {
  const server = formatAddress(tunnel);
  const others = sharingUser(tunnel, all);
  const names = [tunnel, ...others].map((one) => one.name);
  if (undo && system === 'nixos') return NIXOS_UNDO;
  if (undo) {
    return undoScript(checkUser(tunnel.user, 'the user'), names, system === 'macos' ? MACOS : LINUX, server);
  }
  const setup = await setupFor(tunnel, all, jump);
  return system === 'nixos'
    ? nixosModule(setup, server)
    : setUpScript(setup, system === 'macos' ? MACOS : LINUX, server, spareHostKey);
}

/** What the server is set up for: all tunnels with this one's user. Throws a UserError where it cannot be. */
export async function setupFor(tunnel: TunnelSpec, all: readonly TunnelSpec[], jump: boolean): Promise<ServerSetup> {
  const others = sharingUser(tunnel, all);
  // What one script does not allow to a user it takes away: another tunnel's way in through the server is to stay.
  const rest = await Promise.all(others.map((one) => keyed(one, jump && hasPort(one))));
  return serverSetup([await keyed(tunnel, jump), ...rest]);
}

const NIXOS_UNDO = `${comment(['Take what `tunneld server-setup` printed out of the configuration of the server, and run nixos-rebuild switch.'])}\n`;

async function keyed(spec: TunnelSpec, jump: boolean): Promise<KeyedTunnel> {
  return {
    spec,
    ...(await readLoginKeys(spec, systemClock)),
    jump,
    hostKey: hostKeyFor(spec, await readHostKeys()),
  };
}

import type { ServerFiles } from '../../audit/audit.ts';
import { readServer } from '../../audit/files/read.ts';
import type { AuditLoginDeps } from '../../audit/attempts/login.ts';
import { adHocConfig } from '../../config/command-line/ad-hoc.ts';
import { systemEnvironment } from '../../config/input/environment.ts';
import { NEVER } from '../../lib/async/never.ts';
import { UserError } from '../../lib/user-error.ts';
import { sharesUser } from '../../server-rules/same-login.ts';
import { readPublicKeys } from '../../setup/public-key.ts';
import type { TunnelSpec } from '../../model/spec.ts';

/**
 * The login of an administrator, as ssh would do it with the caller's ssh_config, agent, default keys and known_hosts. Throws a UserError
 * where `destination` names no server.
 */
export async function administrator(destination: string): Promise<TunnelSpec> {
  if (/^-|\s/.test(destination)) throw new UserError(`--via ${JSON.stringify(destination)}: it must be [me@]server`);
  // A command line needs a forward; none is made.
  const { tunnels } = await adHocConfig(['-R', '1:localhost:1', destination], 'via', systemEnvironment());
  return { ...tunnels[0]!, forwards: [] };
}

/** The rules and keys of the server, as an administrator reads them there. */
export async function readFilesFor(
  tunnel: TunnelSpec,
  all: readonly TunnelSpec[],
  admin: TunnelSpec,
  deps: AuditLoginDeps,
): Promise<ServerFiles> {
  const keys = await keysOf(tunnel);
  const sharing = await Promise.all(all.filter((other) => sharesUser(tunnel, other)).map(keysOf));
  const facts = await readServer(admin, { user: tunnel.user, keys }, deps, NEVER);
  return { facts, keys, known: [...keys, ...sharing.flat()] };
}

/** In base64; none where they are known to an agent alone. */
async function keysOf(tunnel: TunnelSpec): Promise<readonly string[]> {
  try {
    return (await readPublicKeys(tunnel)).keys.map(({ base64 }) => base64);
  } catch (error) {
    if (error instanceof UserError) return [];
    throw error;
  }
}

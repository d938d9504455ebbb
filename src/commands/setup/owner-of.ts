import { UserError } from '../../lib/user-error.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import { administrator } from '../find/administrator.ts';
import type { Questions } from '../text/prompt.ts';
import { report } from '../text/report.ts';
import { trustHostKey } from './trust-host-key.ts';
import { openOwner, type Owner } from './owner.ts';
import { hostOf } from './trust.ts';

/** A login of the owner's (`[me@]server[:port]`) on the server of a tunnel that the configuration has. See openOwner(). */
export async function openOwnerOf(tunnel: TunnelSpec, via: string, questions: Questions): Promise<Owner> {
  const admin = await administrator(via);
  return await openOwner(await trustLogin(tunnel, admin, questions), tunnel.user, questions);
}

/** The login, with the host key that it is to find there. */
export async function trustLogin(tunnel: TunnelSpec, admin: TunnelSpec, questions: Questions): Promise<TunnelSpec> {
  return isServerOf(tunnel, admin) ? knownAs(tunnel, admin) : await trustOther(admin, questions);
}

/** Whether the login reaches the server by the tunnel's own address. */
export function isServerOf({ host, port }: Pick<TunnelSpec, 'host' | 'port'>, admin: TunnelSpec): boolean {
  return admin.host === host && admin.port === port && admin.hostKeyAlias === null && admin.jumps.length === 0;
}

/** The host key that was confirmed for the tunnel, under the name that it has there, is the one of this login, and no other. */
export function knownAs(
  { hostKeyAlias, userKnownHostsFiles, globalKnownHostsFiles }: TunnelSpec,
  admin: TunnelSpec,
): TunnelSpec {
  return { ...admin, hostKeyAlias, userKnownHostsFiles, globalKnownHostsFiles, strictHostKeyChecking: 'yes' };
}

/** The owner reaches the server by another name or port: its host key is one that the owner knows, or confirms. */
export async function trustOther(admin: TunnelSpec, questions: Questions): Promise<TunnelSpec> {
  if ((await trustHostKey(hostOf(admin, false, null), null, questions, report)) === 'refused')
    throw new UserError('the host key was not confirmed; nothing more was done');
  return admin;
}

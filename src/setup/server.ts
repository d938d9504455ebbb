import type { TunnelSpec } from '../tunnel/spec.ts';
import { type Access, accessOf, combine } from './access.ts';
import { checkUser } from './names.ts';
import type { PublicKey } from './public-key.ts';
import { SetupError } from './setup-error.ts';

/** Everything that is to be made on a server for one user, in no system's form yet. */
export interface ServerSetup {
  readonly user: string;
  readonly tunnels: readonly string[];
  /** Lines of authorized_keys. */
  readonly keyLines: readonly string[];
  /** The same keys in base64 alone. */
  readonly keys: readonly string[];
  /** Options of the user's Match block, in the order in which they are written. */
  readonly options: readonly (readonly [name: string, value: string])[];
  readonly notes: readonly string[];
}

export interface KeyedTunnel {
  readonly spec: Pick<TunnelSpec, 'name' | 'user' | 'forwards'>;
  readonly key: PublicKey;
  readonly jump: boolean;
}

/** `tunnels` log in as the same user of the same server: sshd takes but one Match block for it, the first. */
export function serverSetup(tunnels: readonly [KeyedTunnel, ...KeyedTunnel[]]): ServerSetup {
  const user = checkUser(tunnels[0].spec.user, 'the user');
  const needs = tunnels.map(({ spec, key, jump }) => ({ key, access: accessOf(spec, jump) }));
  // Of two lines with one key sshd takes the first: tunnels that share a key share a line.
  const byKey = new Map<string, typeof needs>();
  for (const need of needs) byKey.set(need.key.base64, [...(byKey.get(need.key.base64) ?? []), need]);
  const lines = [...byKey.values()].map((same) => keyLine(same[0]!.key, combine(same.map(({ access }) => access))));
  const access = combine(needs.map((need) => need.access));
  return {
    user,
    tunnels: tunnels.map(({ spec }) => spec.name),
    keyLines: lines,
    keys: [...byKey.keys()],
    options: matchOptions(user, access),
    notes: access.notes,
  };
}

/** Throws a SetupError where no server can be set up for this tunnel, whatever its key. */
export function checkSetup(spec: KeyedTunnel['spec'], jump: boolean): void {
  if (spec.user === 'root')
    throw new SetupError(
      'root of the server is no user for a tunnel: name another one, which need not exist yet (limited@host)',
    );
  checkUser(spec.user, 'the user');
  accessOf(spec, jump);
}

/** Root's, so that a program which runs as the user could not lift its own limits, and no home directory is needed. */
export const KEYS_FOLDER = '/etc/ssh/authorized_keys.d';

/** sshd(8), AUTHORIZED_KEYS FILE FORMAT. */
function keyLine(key: PublicKey, { listens, opens }: Access): string {
  const options = [
    'restrict',
    'port-forwarding',
    ...listens.map((listen) => `permitlisten="${listen}"`),
    ...(opens === 'any' ? [] : opens.map((open) => `permitopen="${open}"`)),
  ];
  return [options.join(','), key.type, key.base64, key.comment].join(' ').trimEnd();
}

/**
 * sshd_config(5). What the line of the key says already is said again: the key's options hold for this key, these for whatever
 * way in there may be. And `restrict` takes away no command: only ForceCommand does.
 */
function matchOptions(user: string, access: Access): (readonly [string, string])[] {
  const { listens, opens, socketListener, socketTarget } = access;
  const sockets = direction(socketListener, socketTarget);
  return [
    ['AllowUsers', user],
    ['AuthenticationMethods', 'publickey'],
    ['PubkeyAuthentication', 'yes'],
    ['AuthorizedKeysFile', `${KEYS_FOLDER}/${user}`],
    ['DisableForwarding', 'no'],
    ['AllowTcpForwarding', direction(listens.length > 0, opens === 'any' || opens.length > 0)],
    ['PermitListen', listens.join(' ') || 'none'],
    ['PermitOpen', opens === 'any' ? 'any' : opens.join(' ') || 'none'],
    ['GatewayPorts', access.publicListener ? 'clientspecified' : 'no'],
    ['AllowStreamLocalForwarding', sockets],
    // Else a socket that a dead connection left there would be in the way of the next one.
    ...(socketListener ? [['StreamLocalBindUnlink', 'yes'] as const] : []),
    ['AllowAgentForwarding', 'no'],
    ['X11Forwarding', 'no'],
    ['PermitTunnel', 'no'],
    ['PermitTTY', 'no'],
    ['PermitUserRC', 'no'],
    ['ForceCommand', 'false'],
    ['ClientAliveInterval', '15'],
    ['ClientAliveCountMax', '3'],
  ];
}

function direction(remote: boolean, local: boolean): string {
  if (remote) return local ? 'yes' : 'remote';
  return local ? 'local' : 'no';
}

/** The block as it stands in sshd_config. */
export function matchBlock({ user, options }: ServerSetup): string {
  return [`Match User ${user}`, ...options.map(([name, value]) => `  ${name} ${value}`)].join('\n');
}

/** The block's lines as `sshd -T` prints what is in force. */
export function effectiveLines({ options }: ServerSetup): string {
  return options.map(([name, value]) => `${name.toLowerCase()} ${value}`).join('\n');
}

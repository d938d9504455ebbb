import { type Access, accessOf, type AccessSpec, combine } from './access.ts';
import { type Directive, keyOptions, matchOptions } from './rules.ts';
import { formatEndpoint } from '../model/endpoint.ts';
import { checkUser } from './names.ts';
import { UserError } from '../lib/user-error.ts';

/** Everything that is to be made on a server for one user, in no system's form yet. */
export interface ServerSetup {
  readonly user: string;
  readonly tunnels: readonly string[];
  /** Lines of authorized_keys. */
  readonly keyLines: readonly string[];
  /** The same keys in base64 alone. */
  readonly keys: readonly string[];
  /** Whether these are all: where one of the tunnels has a key that could not be read, lines of others stay on the server. */
  readonly complete: boolean;
  /** Options of the user's Match block, in the order in which they are written. */
  readonly options: readonly Directive[];
  readonly notes: readonly string[];
}

export interface KeyedTunnel {
  readonly spec: AccessSpec & { readonly user: string };
  /** All that it may log in with, the first one first; at least one. */
  readonly keys: readonly PublicKey[];
  /** Why further ones could not be read. */
  readonly unread?: readonly string[];
  readonly jump: boolean;
}

/** `tunnels` log in as the same user of the same server: sshd takes but one Match block for it, the first. */
export function serverSetup(tunnels: readonly [KeyedTunnel, ...KeyedTunnel[]]): ServerSetup {
  const user = checkUser(tunnels[0].spec.user, 'the user');
  const needs = tunnels.flatMap(({ spec, keys, jump }) => {
    checkPorts(spec);
    const access = accessOf(spec, jump);
    return keys.map((key) => ({ key, access }));
  });
  // Of two lines with one key sshd takes the first: tunnels that share a key share a line.
  const byKey = new Map<string, typeof needs>();
  for (const need of needs) byKey.set(need.key.base64, [...(byKey.get(need.key.base64) ?? []), need]);
  const lines = [...byKey.values()].map((same) => keyLine(same[0]!.key, combine(same.map(({ access }) => access))));
  const access = combine(needs.map((need) => need.access));
  const unread = tunnels.flatMap((tunnel) => tunnel.unread ?? []);
  return {
    user,
    tunnels: tunnels.map(({ spec }) => spec.name),
    keyLines: lines,
    keys: [...byKey.keys()],
    complete: unread.length === 0,
    options: setupOptions(user, access),
    notes: [...access.notes, ...[...new Set(unread)].map(noteOnUnread)],
  };
}

function noteOnUnread(reason: string): string {
  return `There is no line for one of the keys, because ${reason}. What the server has for other keys stays as it is.`;
}

/** Throws a UserError where no server can be set up for this tunnel, whatever its key. */
export function checkSetup(spec: KeyedTunnel['spec'], jump: boolean): void {
  if (spec.user === 'root')
    throw new UserError(
      'root of the server is no user for a tunnel: name another one, which need not exist yet (limited@host)',
    );
  checkUser(spec.user, 'the user');
  checkPorts(spec);
  accessOf(spec, jump);
}

/** bind_permitted in OpenSSH's misc.c. */
function checkPorts({ forwards }: AccessSpec): void {
  for (const { kind, listen } of forwards) {
    if (kind === 'remote' && listen.type === 'tcp' && listen.port > 0 && listen.port < 1024)
      throw new UserError(
        `sshd lets nobody but root listen on a port below 1024 (where the server's net.ipv4.ip_unprivileged_port_start is lower, its part is yours to write): choose a larger one for ${formatEndpoint(listen)}`,
      );
  }
}

/** Root's, so that a program which runs as the user could not lift its own limits, and no home directory is needed. */
export const KEYS_FOLDER = '/etc/ssh/authorized_keys.d';

/** sshd(8), AUTHORIZED_KEYS FILE FORMAT. */
function keyLine(key: PublicKey, access: Access): string {
  return [keyOptions(access).join(','), key.type, key.base64, key.comment].join(' ').trimEnd();
}

/** All of the user's block. Logins are let in whatever sshd_config says of others, and by these keys alone. */
function setupOptions(user: string, access: Access): readonly Directive[] {
  return [
    ['AllowUsers', user],
    ['PubkeyAuthentication', 'yes'],
    ['AuthorizedKeysFile', `${KEYS_FOLDER}/${user}`],
    ...matchOptions(access, ['publickey']),
    ['ClientAliveInterval', '15'],
    ['ClientAliveCountMax', '3'],
  ];
}

/** The block's lines as `sshd -T` prints what is in force. */
export function effectiveLines({ options }: ServerSetup): string {
  return options.map(([name, value]) => `${name.toLowerCase()} ${value}`).join('\n');
}

/** A public key as a line of authorized_keys has it. */
export interface PublicKey {
  readonly type: string;
  readonly base64: string;
  /** Empty for none; never with a line break or a control character. */
  readonly comment: string;
}

import { type Access, accessOf, type AccessSpec, combine } from './access.ts';
import { type Directive, keyOptions, matchOptions } from './rules.ts';
import { formatEndpoint } from '../model/endpoint.ts';
import { checkUser } from './names.ts';
import { UserError } from '../lib/user-error.ts';

/** The setup of a server for one user, independent of its operating system. */
export interface ServerSetup {
  readonly user: string;
  readonly tunnels: readonly string[];
  /** Lines of authorized_keys. */
  readonly keyLines: readonly string[];
  /** The same keys in base64 alone. */
  readonly keys: readonly string[];
  /** Whether these are all keys; where one could not be read, other lines on the server are kept. */
  readonly complete: boolean;
  /** Options of the user's Match block, in the order in which they are written. */
  readonly options: readonly Directive[];
  readonly notes: readonly string[];
}

export interface KeyedTunnel {
  readonly spec: AccessSpec & { readonly user: string };
  /** The keys it may log in with, in order of preference; at least one. */
  readonly keys: readonly PublicKey[];
  /** Why further keys could not be read. */
  readonly unread?: readonly string[];
  readonly jump: boolean;
  /** The host key of the device's SSH server, to which one of its ports leads; it is recorded beside the keys. */
  readonly hostKey?: HostKeyRecord | null;
}

/** A port of the server that leads to the device's SSH server, and the fingerprint of that server's host key. */
export interface HostKeyRecord {
  readonly port: number;
  readonly fingerprint: string;
}

/** The setup for `tunnels`, which log in as the same user of the same server: sshd takes only the first Match block for a user. */
export function serverSetup(tunnels: readonly [KeyedTunnel, ...KeyedTunnel[]]): ServerSetup {
  const user = checkUser(tunnels[0].spec.user, 'the user');
  const needs = tunnels.flatMap(({ spec, keys, jump, hostKey = null }) => {
    checkPorts(spec);
    const access = accessOf(spec, jump);
    return keys.map((key) => ({ key, access, hostKey }));
  });
  // Of two lines with the same key, sshd takes the first: tunnels that share a key share a line.
  const byKey = new Map<string, typeof needs>();
  for (const need of needs) byKey.set(need.key.base64, [...(byKey.get(need.key.base64) ?? []), need]);
  const lines = [...byKey.values()].map((same) =>
    keyLine(same[0]!.key, combine(same.map(({ access }) => access)), same.flatMap(({ hostKey }) => hostKey ?? [])[0]),
  );
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
  return `One of the keys is left out, because ${reason}. Lines on the server for other keys are kept.`;
}

/** Throws a UserError where no server can be set up for this tunnel, whatever its keys. */
export function checkSetup(spec: KeyedTunnel['spec'], jump: boolean): void {
  if (spec.user === 'root')
    throw new UserError(
      'root of the server cannot be used for a tunnel: name another user, which need not exist yet (limited@host)',
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
        `${formatEndpoint(listen)} is below 1024, where sshd lets only root listen: choose a larger port (a server with a lower net.ipv4.ip_unprivileged_port_start has to be set up by hand)`,
      );
  }
}

/** It belongs to root, so that no program of the user can change its limits, and the user needs no home directory. */
export const KEYS_FOLDER = '/etc/ssh/authorized_keys.d';

/** sshd(8), AUTHORIZED_KEYS FILE FORMAT. */
function keyLine(key: PublicKey, access: Access, hostKey?: HostKeyRecord): string {
  const line = [keyOptions(access).join(','), key.type, key.base64, key.comment].join(' ').trimEnd();
  return hostKey === undefined ? line : `${line} host-key:${hostKey.port}=${hostKey.fingerprint}`;
}

/** The user's block. It allows logins by these keys only, independent of the global settings. */
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

/** The block's lines as `sshd -T` prints the settings in force. */
export function effectiveLines({ options }: ServerSetup): string {
  return options.map(([name, value]) => `${name.toLowerCase()} ${value}`).join('\n');
}

/** A public key of authorized_keys. */
export interface PublicKey {
  readonly type: string;
  readonly base64: string;
  /** Empty for none; never with a line break or a control character. */
  readonly comment: string;
}

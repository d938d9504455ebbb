import { type Access, accessOf, type AccessSpec, combine } from './access.ts';
import { type Directive, keyOptions, matchOptions } from './rules.ts';
import { formatEndpoint } from '../model/endpoint.ts';
import { checkUser } from './names.ts';
import { UserError } from '../lib/user-error.ts';
import { groupBy } from '../lib/maps.ts';
import type { Redundancy } from '../model/redundancy.ts';

/** The setup of a server for one user, independent of its operating system. */
export interface ServerSetup {
  readonly user: string;
  readonly tunnels: readonly string[];
  /** Lines of authorized_keys: of a key, or of the authority that certifies it. */
  readonly keyLines: readonly string[];
  /** The part of each line that says who is let in. */
  readonly entries: readonly string[];
  /** Texts that are in lines of this device only, as they are now or were before a key was certified. */
  readonly marks: readonly string[];
  /** Whether these are all keys; where one could not be read, other lines on the server are kept. */
  readonly complete: boolean;
  /** Options of the user's Match block, in the order in which they are written. */
  readonly options: readonly Directive[];
  readonly notes: readonly string[];
}

export interface KeyedTunnel {
  readonly spec: AccessSpec & { readonly user: string; readonly redundancy?: Redundancy };
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
  const needs = tunnels.flatMap(needsOf);
  // Of two lines with the same key or authority, sshd takes the first: tunnels that share one share a line.
  const byEntry = groupBy(needs, ({ entry }) => entry);
  const access = combine(needs.map((need) => need.access));
  const unread = tunnels.flatMap((tunnel) => tunnel.unread ?? []);
  return {
    user,
    tunnels: tunnels.map(({ spec }) => spec.name),
    keyLines: [...byEntry.values()].map(keyLine),
    entries: [...byEntry.keys()],
    marks: marksOf(tunnels.flatMap(({ keys }) => keys)),
    complete: unread.length === 0,
    options: setupOptions(user, access),
    notes: [
      ...access.notes,
      ...new Set(needs.flatMap(({ certificate }) => certificate?.notes ?? [])),
      ...[...new Set(unread)].map(noteOnUnread),
    ],
  };
}

/** Texts of which a line of this device has one, whatever else is in it. */
export function marksOf(keys: readonly PublicKey[]): readonly string[] {
  const marks = keys.flatMap((key) => [...(key.certificates ?? []).map(authorityEntry), key.base64, keyMark(key)]);
  return [...new Set(marks)];
}

interface Need {
  readonly key: PublicKey;
  readonly certificate: KeyCertificate | null;
  readonly entry: string;
  readonly access: Access;
  readonly hostKey: HostKeyRecord | null;
  /** Whether the tunnel is at one of several servers at a time, and so need not be at this one. */
  readonly failsOver: boolean;
}

function needsOf({ spec, keys, jump, hostKey = null }: KeyedTunnel): readonly Need[] {
  checkPorts(spec);
  const access = accessOf(spec, jump);
  const failsOver = spec.redundancy?.mode === 'failover';
  return keys.flatMap((key): readonly Need[] => {
    const { certificates = [] } = key;
    const need = { key, access, hostKey, failsOver };
    if (certificates.length === 0) return [{ ...need, certificate: null, entry: key.base64 }];
    return certificates.map((certificate) => ({ ...need, certificate, entry: authorityEntry(certificate) }));
  });
}

/** The end of a line that trusts an authority: sshd lets a certificate in that has one of these names. */
function authorityEntry({ principals, authority }: KeyCertificate): string {
  return `principals="${principals.join(',')}" ${authority.type} ${authority.base64}`;
}

/** Says in the comment of an authority's line which key of the device it is for. */
function keyMark({ fingerprint }: PublicKey): string {
  return `key:${fingerprint}`;
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

/** The spare host key of a server, with `.pub` beside it. */
export const SPARE_FILE = '/etc/ssh/ssh_host_ed25519_spare_key';

/** In the comment of a line whose tunnel need not be at this server, for `tunneld fleet`. */
export const FAILOVER_MARK = 'servers:failover';

/** sshd(8), AUTHORIZED_KEYS FILE FORMAT. */
function keyLine(same: readonly Need[]): string {
  const { key, certificate, entry } = same[0]!;
  const options = keyOptions(combine(same.map(({ access }) => access)));
  const hostKey = same.flatMap((need) => need.hostKey ?? [])[0];
  const record = [
    ...(same.every(({ failsOver }) => failsOver) ? [FAILOVER_MARK] : []),
    ...(hostKey === undefined ? [] : [`host-key:${hostKey.port}=${hostKey.fingerprint}`]),
  ];
  if (certificate === null)
    return [options.join(','), key.type, entry, key.comment, ...record].filter(Boolean).join(' ');
  // sshd refuses a certificate whose command is another than the line's. That of the Match block replaces both.
  const fitting = same.some((need) => need.certificate?.hasCommand === true)
    ? options.filter((option) => !option.startsWith('command='))
    : options;
  const marks = [...new Set(same.map((need) => keyMark(need.key)))];
  return [`cert-authority,${fitting.join(',')},${entry}`, key.comment, ...marks, ...record].filter(Boolean).join(' ');
}

/** The user's block. It allows logins by these keys only, independent of the global settings. */
function setupOptions(user: string, access: Access): readonly Directive[] {
  return [
    ['AllowUsers', user],
    ['PubkeyAuthentication', 'yes'],
    ['AuthorizedKeysFile', `${KEYS_FOLDER}/${user}`],
    ['AuthorizedKeysCommand', 'none'],
    // An authority that all users trust would let every certificate in that has the user's name, past the lines of that file.
    ['TrustedUserCAKeys', 'none'],
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
  /** As `ssh-keygen -l` shows it. */
  readonly fingerprint: string;
  /** Those by which it is let in, and by nothing else; none or left out: the key itself is. */
  readonly certificates?: readonly KeyCertificate[];
}

/** What the server has to know of a key's certificate, now and when it is renewed. */
export interface KeyCertificate {
  readonly authority: { readonly type: string; readonly base64: string };
  /** Names of the certificate, one of which is to be enough; none has a character that is special in authorized_keys. */
  readonly principals: readonly string[];
  /** Whether it names a command of its own (`force-command`). */
  readonly hasCommand: boolean;
  /** For the reader of the script. */
  readonly notes: readonly string[];
}

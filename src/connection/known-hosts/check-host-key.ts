import { isIPv6, SocketAddress } from 'node:net';
import { escapeControls, lowerCase, printable } from '../../lib/text.ts';
import { TunnelFailure } from '../../model/failure.ts';
import { fingerprint, keyTypeOf, UNKNOWN_KEY_TYPE } from './key-blob.ts';
import { matchesHost } from './match.ts';
import type { KnownHostsEntry } from './parse.ts';

/** A host as it is looked up in known_hosts. */
export interface HostQuery {
  /** The name that is looked up and written: the alias, `host`, or `[host]:port` for a port other than 22. */
  readonly name: string;
  /** For `[host]:port`, the bare host, whose key is accepted too where that port has none; otherwise null. */
  readonly withoutPort: string | null;
  /** The name that a certificate must have: without the port. */
  readonly principal: string;
}

/** The query for a server. With an alias (HostKeyAlias) host and port are ignored, as in ssh. */
export function hostQuery(host: string, port: number, alias: string | null): HostQuery {
  if (alias !== null) return { name: lowerCase(alias), withoutPort: null, principal: alias };
  const name = canonicalHost(host);
  const [named, withoutPort] = port === SSH_PORT ? [name, null] : [`[${name}]:${port}`, name];
  return { name: named, withoutPort, principal: name };
}

const SSH_PORT = 22;

/** Lower case; IPv6 addresses in their shortest form, as ssh writes and looks them up. A zone (`%eth0`) stays as it is. */
function canonicalHost(host: string): string {
  if (!isIPv6(host)) return lowerCase(host);
  const zoneAt = host.includes('%') ? host.indexOf('%') : host.length;
  return new SocketAddress({ address: host.slice(0, zoneAt), family: 'ipv6' }).address + host.slice(zoneAt);
}

/** In steps, for inSlices(): the lines about the host, in their order. A hashed line takes 10 µs on a PC. */
export function* entriesAbout(
  entries: readonly KnownHostsEntry[],
  query: HostQuery,
): Generator<undefined, KnownHostsEntry[]> {
  const about: KnownHostsEntry[] = [];
  for (const entry of entries) {
    yield;
    if (isAbout(entry, query)) about.push(entry);
  }
  return about;
}

export function isAbout({ hosts }: KnownHostsEntry, { name, withoutPort }: HostQuery): boolean {
  return matchesHost(hosts, name) || (withoutPort !== null && matchesHost(hosts, withoutPort));
}

/** The result of a look-up of a server's key in known_hosts. */
export type HostKeyVerdict =
  | { readonly type: 'known'; readonly entry: KnownHostsEntry }
  /** The host has no key. */
  | { readonly type: 'unknown' }
  /** The host has other keys only. */
  | { readonly type: 'changed'; readonly entries: readonly KnownHostsEntry[] }
  | { readonly type: 'revoked'; readonly entry: KnownHostsEntry };

/**
 * Checks a key as OpenSSH's check_host_key does. `changed` includes the case that only keys of other types are known,
 * so that a server cannot pass for a new host by showing another type. For `[host]:port` without a key, the same key
 * under the bare host name is enough, while another key there means nothing: behind another port may be another
 * machine. A spare is no key that the port shows: beside it alone, that name still counts.
 *
 * Stricter than OpenSSH in one point: a key revoked for the bare host name is revoked on all its ports.
 */
export function checkHostKey(entries: readonly KnownHostsEntry[], query: HostQuery, key: Buffer): HostKeyVerdict {
  const named = entriesFor(entries, query.name);
  const portless = query.withoutPort === null ? [] : entriesFor(entries, query.withoutPort);
  const hasKey = (entry: KnownHostsEntry) => entry.key.equals(key);

  const revoked = [...named, ...portless].find((entry) => entry.marker === 'revoked' && hasKey(entry));
  if (revoked) return { type: 'revoked', entry: revoked };

  const hostKeys = named.filter((entry) => entry.marker === 'none');
  const candidates = hostKeys.some(isShown)
    ? hostKeys
    : [...hostKeys, ...portless.filter((entry) => entry.marker === 'none')];
  const known = candidates.find(hasKey);
  if (known) return { type: 'known', entry: known };
  if (hostKeys.length > 0) return { type: 'changed', entries: hostKeys };
  return { type: 'unknown' };
}

/**
 * The types of the host's known keys, in the order of the files and without duplicates. Offering these first, as
 * OpenSSH does, keeps a server with several keys from showing one that is not known: so the type of a spare, of which
 * the server may show another key, counts only where there is nothing else. Here too the bare host name stands in for a
 * port without a key.
 */
export function knownKeyTypes(entries: readonly KnownHostsEntry[], query: HostQuery): readonly string[] {
  const named = entriesFor(entries, query.name);
  const portless = query.withoutPort === null ? [] : entriesFor(entries, query.withoutPort);
  const types = [named.filter(isShown), portless.filter(isShown), named, portless].map(acceptedTypes);
  return types.find((one) => one.length > 0) ?? [];
}

function isShown({ spare }: KnownHostsEntry): boolean {
  return spare !== true;
}

function acceptedTypes(entries: readonly KnownHostsEntry[]): readonly string[] {
  const revoked = entries.filter((entry) => entry.marker === 'revoked');
  const accepted = entries.filter(
    (entry) => entry.marker === 'none' && !revoked.some((other) => other.key.equals(entry.key)),
  );
  return [...new Set(accepted.map((entry) => entry.keyType))];
}

function entriesFor(entries: readonly KnownHostsEntry[], name: string): readonly KnownHostsEntry[] {
  return entries.filter((entry) => matchesHost(entry.hosts, name));
}

/**
 * The line for a key as ssh writes it: plain, unhashed, without a comment or a line end. Throws for a name that would
 * mean something else in the file, and for a malformed key; as with ssh, such a key cannot be accepted as new.
 */
export function knownHostsLine(query: HostQuery, key: Buffer): string {
  const bare = query.withoutPort ?? query.name;
  if (bare === '' || SPECIAL.test(bare) || escapeControls(bare) !== bare) {
    throw new TunnelFailure(
      'host-key-unknown',
      `the name "${printable(query.name)}" cannot be written to a known_hosts file; set hostKeyAlias to a plain one`,
    );
  }
  const keyType = keyTypeOf(key);
  if (keyType === UNKNOWN_KEY_TYPE) {
    throw new TunnelFailure('host-key-unknown', `the host key ${fingerprint(key)} of ${query.name} is malformed`);
  }
  return `${query.name} ${keyType} ${key.toString('base64')}`;
}

/** Characters with a meaning in the host field: OpenSSH's list, and those that end or join patterns. */
const SPECIAL = /[@?*#[\]|'"\\!,\s]/;

import type { Logger } from '../../lib/log/log.ts';
import { errorText } from '../../lib/text.ts';
import type { ServerSpec } from '../../model/spec.ts';
import { checkHostKey, knownHostsLine, type HostQuery } from './check-host-key.ts';
import { isAboutOnly } from './edit.ts';
import { appendKnownHosts, rewriteKnownHosts } from './file.ts';
import { fingerprint, isCompleteKey, keyTypeOf } from './key-blob.ts';
import { parseKnownHosts, type KnownHostsEntry } from './parse.ts';
import { orElse } from '../../lib/or-else.ts';

/** A server, and what known_hosts has about it. */
export interface KnownHost {
  readonly spec: ServerSpec;
  readonly log: Logger;
  readonly query: HostQuery;
  /** They change with what the server teaches. */
  entries: readonly KnownHostsEntry[];
}

/**
 * UpdateHostKeys of ssh_config(5): `keys` are all that the server has. Those that it no longer has are removed from known_hosts, and new
 * ones are added, unless they are refused.
 */
export async function updateHostKeys(
  host: KnownHost,
  keys: readonly Buffer[],
  isRefused: (key: Buffer) => boolean,
): Promise<void> {
  const { query } = host;
  await forget(host, keys);
  await adoptSpares(host, keys);
  const fresh = freshOf(host, keys, isRefused);
  // With nothing new to learn, the port needs no line of its own either.
  if (fresh.every((key) => checkHostKey(host.entries, query, key).type === 'known')) return;
  const lines = linesFor(fresh, query);
  if (lines !== null)
    await rememberHostKeys(host, fresh, lines, `${query.name} proved further host keys (updateHostKeys)`);
}

async function forget(host: KnownHost, current: readonly Buffer[]): Promise<void> {
  const { spec, log, query } = host;
  const isRetired = ({ marker, hosts, key, keyType, spare }: KnownHostsEntry) =>
    marker === 'none' &&
    spare !== true &&
    isAboutOnly(hosts, query.name) &&
    LISTED_TYPES.test(keyType) &&
    !includes(current, key);
  const retired = host.entries.filter((entry) => isRetired(entry) && spec.userKnownHostsFiles.includes(entry.file));
  for (const file of new Set(retired.map((entry) => entry.file))) {
    const gone = retired.filter((entry) => entry.file === file);
    const keys = new Set(gone.map(({ keyType, key }) => `${keyType} ${fingerprint(key)}`));
    const what = `${query.name} has retired ${[...keys].join(', ')}`;
    try {
      await rewriteKnownHosts(file, { add: [], remove: isRetired });
      host.entries = host.entries.filter((entry) => !gone.includes(entry));
      log.info(`${what}; removed from ${file} (updateHostKeys)`);
    } catch (error) {
      log.warn(`${what}; still in ${file}: ${errorText(error)}`);
    }
  }
}

/**
 * The key types that ssh2 can read from a server's list: a line with another type may be of a key that the server still
 * has.
 */
const LISTED_TYPES = /^(?:ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521))$/;

export function includes(keys: readonly Buffer[], key: Buffer): boolean {
  return keys.some((one) => one.equals(key));
}

/** A spare that the server uses by now is one of its keys: it will be forgotten like the others. */
async function adoptSpares(host: KnownHost, current: readonly Buffer[]): Promise<void> {
  const { spec, log, query } = host;
  const isUsed = ({ spare, hosts, key }: KnownHostsEntry) =>
    spare === true && isAboutOnly(hosts, query.name) && includes(current, key);
  for (const file of new Set(host.entries.filter(isUsed).map((entry) => entry.file))) {
    if (!spec.userKnownHostsFiles.includes(file)) continue;
    const keys = host.entries.filter((entry) => entry.file === file && isUsed(entry)).map(({ key }) => key);
    const add = linesFor(keys, query);
    if (add === null) continue;
    try {
      if (await rewriteKnownHosts(file, { add, remove: isUsed }))
        log.info(`${query.name} uses its spare host key now; ${file} has it as a key like any other (updateHostKeys)`);
    } catch (error) {
      log.warn(`${file} still calls a key of ${query.name} a spare: ${errorText(error)}`);
    }
  }
}

/**
 * A key under the bare host name is not enough: once this port has one key of its own, that name no longer counts.
 */
function freshOf(
  { query, entries }: KnownHost,
  keys: readonly Buffer[],
  isRefused: (key: Buffer) => boolean,
): readonly Buffer[] {
  const exact = { ...query, withoutPort: null };
  return keys.filter((key) => {
    const verdict = checkHostKey(entries, exact, key);
    const usable = isCompleteKey(key) && !isRefused(key);
    return verdict.type !== 'known' && checkHostKey(entries, query, key).type !== 'revoked' && usable;
  });
}

/** Null for a name that cannot be written to known_hosts: then nothing can be learnt. */
function linesFor(keys: readonly Buffer[], query: HostQuery): readonly string[] | null {
  return orElse(() => keys.map((key) => knownHostsLine(query, key)), null);
}

/** Adds keys: in memory, and to the first file of the user. `lines` are theirs. */
export async function rememberHostKeys(
  host: KnownHost,
  keys: readonly Buffer[],
  lines: readonly string[],
  why: string,
): Promise<void> {
  const { spec, log } = host;
  const file = spec.userKnownHostsFiles[0];
  host.entries = [...host.entries, ...parseKnownHosts(`${lines.join('\n')}\n`, file ?? 'memory').entries];
  const what = `${why}: ${keys.map((key) => `${keyTypeOf(key)} ${fingerprint(key)}`).join(', ')}`;
  if (file === undefined) {
    log.warn(`${what}; not kept, because userKnownHostsFile names no file`);
    return;
  }
  try {
    await appendKnownHosts(file, lines);
    log.info(`${what}; written to ${file}`);
  } catch (error) {
    log.warn(`${what}; not kept: ${errorText(error)}`);
  }
}

/** More than any server has, doubled for a rotation of all its keys. */
export const MAX_ANNOUNCED_KEYS = 16;

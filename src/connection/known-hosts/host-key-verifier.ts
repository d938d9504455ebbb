import { isLoopbackAddress } from '../../model/endpoint.ts';
import { inSlices } from '../../lib/async/slices.ts';
import { errorText } from '../../lib/text.ts';
import type { Logger } from '../../lib/log/log.ts';
import { asFailure, TunnelFailure } from '../../model/failure.ts';
import { isAboutOnly } from './edit.ts';
import { appendKnownHosts, loadKnownHosts, rewriteKnownHosts } from './file.ts';
import { fingerprint, isCompleteKey, keyTypeOf, rsaBits } from './key-blob.ts';
import { parseKnownHosts, type KnownHostsEntry, type KnownHostsProblem } from './parse.ts';
import { checkHostKey, entriesAbout, hostQuery, knownHostsLine, knownKeyTypes, type HostQuery } from './check.ts';
import { loadRevokedKeys } from './revoked-keys.ts';
import type { ServerSpec } from '../../model/spec.ts';

/** Verifies the host key of one connection's server. Everything is in memory: ssh2 needs the result at once. */
export interface HostKeyVerifier {
  readonly knownKeyTypes: readonly string[];
  /** Adds the server's own address before it shows its key; there is none behind a jump host or proxy. */
  addAddress(address: string): Promise<void>;
  /** The parts of known_hosts that could not be read, where the host was not found in the rest. */
  unread(): readonly string[];
  /** Null where the key is trusted. Called on the first key exchange and on every rekey. */
  verify(key: Buffer): TunnelFailure | null;
  /** True when the key was found in known_hosts or written there; a password is sent to no other server. */
  trusted(): boolean;
  /** The server has proven to own its key: writes a key that was accepted as new, as ssh does. */
  proven(): Promise<void>;
  /**
   * Gets all keys that the server has proven to own: new ones are added, so that a rotation locks nothing out, and
   * those that the server no longer has are removed, so that a stolen one is of no use (UpdateHostKeys in
   * ssh_config(5)).
   */
  learn(keys: readonly Buffer[]): Promise<void>;
}

export async function prepareHostKeyVerifier(spec: ServerSpec, log: Logger): Promise<HostKeyVerifier> {
  const query = hostQuery(spec.host, spec.port, spec.hostKeyAlias);
  const loaded = await loadKnownHosts([...spec.userKnownHostsFiles, ...spec.globalKnownHostsFiles]);
  for (const { file, line, message } of loaded.problems) log.debug(`${file}:${line}: ${message}`);
  return new KnownHostsVerifier({
    spec,
    log,
    query,
    loaded,
    revocation: await loadRevokedKeys(spec.revokedHostKeys),
    // One connection needs no other lines, and few lines make the synchronous look-up fast.
    entries: await inSlices(entriesAbout(loaded.entries, query)),
  });
}

interface KnownHost {
  readonly spec: ServerSpec;
  readonly log: Logger;
  readonly query: HostQuery;
  readonly loaded: Awaited<ReturnType<typeof loadKnownHosts>>;
  readonly revocation: Awaited<ReturnType<typeof loadRevokedKeys>>;
  readonly entries: readonly KnownHostsEntry[];
}

class KnownHostsVerifier implements HostKeyVerifier {
  readonly knownKeyTypes: readonly string[];
  readonly #known: KnownHost;
  #entries: readonly KnownHostsEntry[];
  #isUnknown = false;
  #shown: Buffer | null = null;
  #accepted: { readonly key: Buffer; readonly line: string } | null = null;
  #trusted = false;
  #taught = false;
  #byAddress: { readonly query: HostQuery; readonly entries: readonly KnownHostsEntry[] } | null = null;

  constructor(known: KnownHost) {
    this.#known = known;
    this.#entries = known.entries;
    this.knownKeyTypes = knownKeyTypes(known.entries, known.query);
  }

  async addAddress(address: string): Promise<void> {
    const { spec, query, loaded } = this.#known;
    const about = hostQuery(address, spec.port, null);
    // As ssh, which looks up no address of the machine itself (sshconnect.c, sockaddr_is_local).
    if (!spec.checkHostIP || isLoopbackAddress(address) || about.name === query.name) return;
    this.#byAddress = { query: about, entries: await inSlices(entriesAbout(loaded.entries, about)) };
  }

  verify(key: Buffer): TunnelFailure | null {
    const { spec, log, query } = this.#known;
    this.#trusted = false;
    const refused = this.#refuse(key);
    if (refused !== null) return refused;
    const verdict = checkHostKey(this.#entries, query, key);
    this.#trusted = verdict.type === 'known';
    this.#isUnknown = verdict.type === 'unknown';
    this.#shown = key;
    if (verdict.type === 'known') return null;
    const failure = this.#explain(verdict, query, key);
    // StrictHostKeyChecking `no` accepts a new host, but not a changed key.
    if (verdict.type === 'revoked' || verdict.type === 'changed') return failure;
    if (spec.strictHostKeyChecking === 'no') {
      log.warn(`connecting anyway (strictHostKeyChecking: no): ${failure.message}`);
      return null;
    }
    return spec.strictHostKeyChecking === 'accept-new' && this.#wholeFilesUnread().length === 0
      ? this.#accept(key)
      : failure;
  }

  /** A refusal that no entry for the name can overrule. */
  #refuse(key: Buffer): TunnelFailure | null {
    const { spec, query, revocation } = this.#known;
    const revoked = revocation(key);
    if (revoked !== null) return new TunnelFailure('host-key-revoked', `${shownBy(query, key)}, ${revoked}`);
    const short = tooShort(key, spec.requiredRSASize);
    if (short !== null) return new TunnelFailure('no-common-algorithm', `${shownBy(query, key)}, ${short}`);
    if (this.#byAddress === null) return null;
    const verdict = checkHostKey(this.#byAddress.entries, this.#byAddress.query, key);
    if (verdict.type !== 'revoked' && verdict.type !== 'changed') return null;
    return this.#explain(verdict, this.#byAddress.query, key);
  }

  /** Line 0 stands for a whole file: a host that seems new may be in it. */
  #wholeFilesUnread(): readonly KnownHostsProblem[] {
    return this.#known.loaded.problems.filter((problem) => problem.line === 0);
  }

  #accept(key: Buffer): TunnelFailure | null {
    try {
      this.#accepted = { key, line: knownHostsLine(this.#known.query, key) };
    } catch (error) {
      return asFailure(error);
    }
    this.#trusted = true;
    return null;
  }

  #explain(verdict: Refusal, query: HostQuery, key: Buffer): TunnelFailure {
    const { spec, loaded } = this.#known;
    return explain(verdict, query, key, [...spec.userKnownHostsFiles, ...spec.globalKnownHostsFiles], loaded.problems);
  }

  trusted(): boolean {
    return this.#trusted;
  }

  unread(): readonly string[] {
    return this.#isUnknown ? this.#known.loaded.problems.map(describeProblem) : [];
  }

  async proven(): Promise<void> {
    if (this.#accepted === null) return;
    const { key, line } = this.#accepted;
    this.#accepted = null;
    const { name } = this.#known.query;
    await this.#remember([key], [line], `host key of ${name} accepted as new (strictHostKeyChecking: accept-new)`);
  }

  async learn(keys: readonly Buffer[]): Promise<void> {
    const { spec, query } = this.#known;
    // Only a server with a known key may teach, and only once (as with ssh); one that was accepted by `no` proves
    // nothing.
    if (!spec.updateHostKeys || !this.#trusted || this.#taught) return;
    this.#taught = true;
    // A list without the key that the server has just shown is ignored: it would remove that one.
    if (this.#shown === null || keys.length > MAX_ANNOUNCED_KEYS || !includes(keys, this.#shown)) return;
    await this.#forget(keys);
    const fresh = this.#freshOf(keys);
    // With nothing new to learn, the port needs no line of its own either.
    if (fresh.every((key) => checkHostKey(this.#entries, query, key).type === 'known')) return;
    const lines = linesFor(fresh, query);
    if (lines !== null) await this.#remember(fresh, lines, `${query.name} proved further host keys (updateHostKeys)`);
  }

  /**
   * A key under the bare host name is not enough: once this port has one key of its own, that name no longer counts.
   */
  #freshOf(keys: readonly Buffer[]): readonly Buffer[] {
    const { query } = this.#known;
    const exact = { ...query, withoutPort: null };
    return keys.filter((key) => {
      const verdict = checkHostKey(this.#entries, exact, key);
      const usable = isCompleteKey(key) && this.#refuse(key) === null;
      return verdict.type !== 'known' && checkHostKey(this.#entries, query, key).type !== 'revoked' && usable;
    });
  }

  async #remember(keys: readonly Buffer[], lines: readonly string[], why: string): Promise<void> {
    const { spec, log } = this.#known;
    const file = spec.userKnownHostsFiles[0];
    this.#entries = [...this.#entries, ...parseKnownHosts(`${lines.join('\n')}\n`, file ?? 'memory').entries];
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

  async #forget(current: readonly Buffer[]): Promise<void> {
    const { spec, log, query } = this.#known;
    const isRetired = ({ marker, hosts, key, keyType }: KnownHostsEntry) =>
      marker === 'none' && isAboutOnly(hosts, query.name) && LISTED_TYPES.test(keyType) && !includes(current, key);
    const retired = this.#entries.filter((entry) => isRetired(entry) && spec.userKnownHostsFiles.includes(entry.file));
    for (const file of new Set(retired.map((entry) => entry.file))) {
      const gone = retired.filter((entry) => entry.file === file);
      const keys = new Set(gone.map(({ keyType, key }) => `${keyType} ${fingerprint(key)}`));
      const what = `${query.name} has retired ${[...keys].join(', ')}`;
      try {
        await rewriteKnownHosts(file, { add: [], remove: isRetired });
        this.#entries = this.#entries.filter((entry) => !gone.includes(entry));
        log.info(`${what}; removed from ${file} (updateHostKeys)`);
      } catch (error) {
        log.warn(`${what}; still in ${file}: ${errorText(error)}`);
      }
    }
  }
}

/**
 * The key types that ssh2 can read from a server's list: a line with another type may be of a key that the server still
 * has.
 */
const LISTED_TYPES = /^(?:ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521))$/;

function includes(keys: readonly Buffer[], key: Buffer): boolean {
  return keys.some((one) => one.equals(key));
}

/** Null for a name that cannot be written to known_hosts: then nothing can be learnt. */
function linesFor(keys: readonly Buffer[], query: HostQuery): readonly string[] | null {
  try {
    return keys.map((key) => knownHostsLine(query, key));
  } catch {
    return null;
  }
}

type Refusal = Exclude<ReturnType<typeof checkHostKey>, { type: 'known' }>;

function explain(
  verdict: Refusal,
  query: HostQuery,
  key: Buffer,
  files: readonly string[],
  problems: readonly KnownHostsProblem[],
): TunnelFailure {
  const shown = shownBy(query, key);
  switch (verdict.type) {
    case 'revoked':
      return new TunnelFailure('host-key-revoked', `${shown}, which ${where(verdict.entry)} revokes`);
    case 'changed':
      return new TunnelFailure('host-key-changed', `${shown}, but the known key is ${listed(verdict.entries)}`);
    case 'unknown': {
      const authority = verdict.certAuthority;
      const notes = [
        ...firstOf(problems),
        ...(authority === null
          ? []
          : [`the @cert-authority line ${where(authority)} is not used: host certificates are not supported`]),
      ];
      const looked = files.length === 0 ? 'any file' : files.join(', ');
      return new TunnelFailure(
        'host-key-unknown',
        `${shown}, which is not in ${looked}${notes.length === 0 ? '' : ` (${notes.join('; ')})`}`,
      );
    }
  }
}

/** The log has them all; whole files come first, for more can be in them. */
function firstOf(problems: readonly KnownHostsProblem[]): string[] {
  const sorted = problems.toSorted((a, b) => Number(b.line === 0) - Number(a.line === 0));
  const more = problems.length - MAX_NAMED;
  return [...sorted.slice(0, MAX_NAMED).map(describeProblem), ...(more > 0 ? [`and ${more} more`] : [])];
}

const MAX_NAMED = 3;

function describeProblem({ file, line, message }: KnownHostsProblem): string {
  return line === 0 ? `${file} ${message}` : `${file}:${line}: ${message}`;
}

/** A file can have thousands of lines for one host. */
function listed(entries: readonly KnownHostsEntry[]): string {
  const first = entries
    .slice(0, MAX_LISTED)
    .map((entry) => `${entry.keyType} ${fingerprint(entry.key)} (${where(entry)})`);
  const more = entries.length - first.length;
  return `${first.join(', ')}${more === 0 ? '' : ` and ${more} more`}`;
}

const MAX_LISTED = 8;

function shownBy(query: HostQuery, key: Buffer): string {
  return `${query.name} shows ${keyTypeOf(key)} ${fingerprint(key)}`;
}

function tooShort(key: Buffer, required: number): string | null {
  const bits = rsaBits(key);
  return bits === null || bits >= required ? null : `whose ${bits} bits are fewer than requiredRSASize ${required}`;
}

function where(entry: KnownHostsEntry): string {
  return `${entry.file}:${entry.line}`;
}

/** More than any server has, doubled for a rotation of all its keys. */
export const MAX_ANNOUNCED_KEYS = 16;

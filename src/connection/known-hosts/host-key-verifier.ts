import { isLoopbackAddress } from '../../model/endpoint.ts';
import { type Clock, systemClock } from '../../lib/async/clock.ts';
import { inSlices } from '../../lib/async/slices.ts';
import { errorText } from '../../lib/text.ts';
import type { Logger } from '../../lib/log/log.ts';
import { CA_SIGNATURE_ALGORITHMS, PLAIN_HOST_KEY_ALGORITHMS } from '../../model/algorithms.ts';
import { type Certificate, readCertificate } from '../ssh/certificate.ts';
import { asFailure, TunnelFailure } from '../../model/failure.ts';
import { certificateText, type HostCertificate } from '../../model/host-certificate.ts';
import { isAboutOnly } from './edit.ts';
import { appendKnownHosts, loadKnownHosts, rewriteKnownHosts } from './file.ts';
import { authoritiesOf, checkHostCertificate, describeCertificate, isSound } from './host-certificate.ts';
import { fingerprint, isCertificateType, isCompleteKey, keyTypeOf, rsaBits } from './key-blob.ts';
import { parseKnownHosts, type KnownHostsEntry, type KnownHostsProblem } from './parse.ts';
import { checkHostKey, entriesAbout, hostQuery, knownHostsLine, knownKeyTypes, type HostQuery } from './check.ts';
import { loadRevokedKeys } from './revoked-keys.ts';
import type { ServerSpec } from '../../model/spec.ts';

/** Verifies the host key of one connection's server. Everything is in memory: ssh2 needs the result at once. */
export interface HostKeyVerifier {
  readonly knownKeyTypes: readonly string[];
  /** Whether a @cert-authority line is about the host, so that it is asked for a certificate. */
  readonly certified: boolean;
  /** Adds the server's own address before it shows its key; there is none behind a jump host or proxy. */
  addAddress(address: string): Promise<void>;
  /** The parts of known_hosts that could not be read, where the host was not found in the rest. */
  unread(): readonly string[];
  /** Null where the key is trusted. Called on the first key exchange and on every rekey. */
  verify(shown: Buffer): TunnelFailure | null;
  /** True when the key was found in known_hosts or written there; a password is sent to no other server. */
  trusted(): boolean;
  /** The certificate for which the key is trusted; null where it is known itself. */
  certificate(): HostCertificate | null;
  /** The server has proven to own its key: writes a key that was accepted as new, as ssh does. */
  proven(): Promise<void>;
  /**
   * Gets all keys that the server has proven to own: new ones are added, so that a rotation locks nothing out, and
   * those that the server no longer has are removed, so that a stolen one is of no use (UpdateHostKeys in
   * ssh_config(5)).
   */
  learn(keys: readonly Buffer[]): Promise<void>;
}

export async function prepareHostKeyVerifier(
  spec: ServerSpec,
  log: Logger,
  clock: Pick<Clock, 'wall'> = systemClock,
): Promise<HostKeyVerifier> {
  const query = hostQuery(spec.host, spec.port, spec.hostKeyAlias);
  const files = [...spec.userKnownHostsFiles, ...spec.globalKnownHostsFiles];
  const loaded = await loadKnownHosts(files);
  for (const { file, line, message } of loaded.problems) log.debug(`${file}:${line}: ${message}`);
  return new KnownHostsVerifier({
    spec,
    log,
    clock,
    query,
    files,
    loaded,
    revocation: await loadRevokedKeys(spec.revokedHostKeys),
    // One connection needs no other lines, and few lines make the synchronous look-up fast.
    entries: await inSlices(entriesAbout(loaded.entries, query)),
  });
}

interface KnownHost {
  readonly spec: ServerSpec;
  readonly log: Logger;
  readonly clock: Pick<Clock, 'wall'>;
  readonly query: HostQuery;
  readonly files: readonly string[];
  readonly loaded: Awaited<ReturnType<typeof loadKnownHosts>>;
  readonly revocation: Awaited<ReturnType<typeof loadRevokedKeys>>;
  readonly entries: readonly KnownHostsEntry[];
}

class KnownHostsVerifier implements HostKeyVerifier {
  readonly knownKeyTypes: readonly string[];
  readonly certified: boolean;
  readonly #known: KnownHost;
  #entries: readonly KnownHostsEntry[];
  #isUnknown = false;
  #shown: Buffer | null = null;
  #accepted: { readonly key: Buffer; readonly line: string } | null = null;
  #trusted = false;
  #certificate: HostCertificate | null = null;
  /** The certificate that was accepted last, and when. */
  #valid: { readonly shown: Buffer; readonly atMs: number } | null = null;
  #taught = false;
  #byAddress: { readonly query: HostQuery; readonly entries: readonly KnownHostsEntry[] } | null = null;

  constructor(known: KnownHost) {
    this.#known = known;
    this.#entries = known.entries;
    this.knownKeyTypes = knownKeyTypes(known.entries, known.query);
    this.certified = authoritiesOf(known.entries, known.query).length > 0;
  }

  async addAddress(address: string): Promise<void> {
    const { spec, query, loaded } = this.#known;
    const about = hostQuery(address, spec.port, null);
    // As ssh, which looks up no address of the machine itself (sshconnect.c, sockaddr_is_local).
    if (!spec.checkHostIP || isLoopbackAddress(address) || about.name === query.name) return;
    this.#byAddress = { query: about, entries: await inSlices(entriesAbout(loaded.entries, about)) };
  }

  verify(shown: Buffer): TunnelFailure | null {
    const { query } = this.#known;
    this.#trusted = false;
    this.#certificate = null;
    this.#shown = null;
    const certificate = readCertificate(shown);
    const isCertificate = certificate !== null || isCertificateType(keyTypeOf(shown));
    if (isCertificate && !isSound(certificate))
      return new TunnelFailure(
        'host-key-unknown',
        `${query.name} shows a certificate that is malformed or not signed by its authority`,
      );
    const key = certificate?.key ?? shown;
    const refused = this.#refuse(key, certificate);
    if (refused !== null) return refused;
    if (certificate === null) return this.#verifyKey(key, this.#missingCertificate());
    const unfit = this.#verifyCertificate(shown, certificate);
    if (typeof unfit !== 'string') return unfit;
    // As ssh, the plain key counts in its place, where a plain one is allowed.
    return this.#isAllowed(key)
      ? this.#verifyKey(key, [unfit])
      : new TunnelFailure(
          'host-key-unknown',
          `${shownBy(query, key)}, which hostKeyAlgorithms does not allow without a certificate (${unfit})`,
        );
  }

  /** Null where it is trusted; a text says why it proves nothing here, so that the plain key is what counts. */
  #verifyCertificate(shown: Buffer, certificate: Certificate): TunnelFailure | string | null {
    const { spec, clock, query } = this.#known;
    // As ssh, which accepts what it has accepted on this connection: a running connection does not end by expiry.
    const atMs = this.#valid?.shown.equals(shown) === true ? this.#valid.atMs : clock.wall();
    const allowed = spec.caSignatureAlgorithms ?? CA_SIGNATURE_ALGORITHMS;
    const verdict = checkHostCertificate(this.#entries, query, certificate, allowed, atMs);
    const described = describeCertificate(certificate);
    switch (verdict.type) {
      case 'known':
        this.#trusted = true;
        this.#isUnknown = false;
        this.#certificate = described;
        this.#valid = { shown, atMs };
        return null;
      case 'revoked':
        return new TunnelFailure(
          'host-key-revoked',
          `${shownBy(query, certificate.key)} with the ${certificateText(described)}, which ${where(verdict.entry)} revokes`,
        );
      case 'unfit':
        return `its ${certificateText(described)}, ${verdict.reason}`;
    }
  }

  #missingCertificate(): readonly string[] {
    const [authority] = authoritiesOf(this.#entries, this.#known.query);
    return authority === undefined
      ? []
      : [
          `it has no certificate of the kinds that hostKeyAlgorithms allows for the @cert-authority line ${where(authority)}`,
        ];
  }

  /** RSA keys have algorithms of other names (RFC 8332). */
  #isAllowed(key: Buffer): boolean {
    const allowed = this.#known.spec.hostKeyAlgorithms ?? PLAIN_HOST_KEY_ALGORITHMS;
    const type = keyTypeOf(key);
    return allowed.some((name) => name === type || (type === 'ssh-rsa' && /^rsa-sha2-(?:256|512)$/.test(name)));
  }

  #verifyKey(key: Buffer, notes: readonly string[]): TunnelFailure | null {
    const { spec, log, query } = this.#known;
    const verdict = checkHostKey(this.#entries, query, key);
    this.#trusted = verdict.type === 'known';
    this.#isUnknown = verdict.type === 'unknown';
    this.#shown = key;
    if (verdict.type === 'known') return null;
    const failure = this.#explain(verdict, query, key, notes);
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
  #refuse(key: Buffer, certificate: Certificate | null = null): TunnelFailure | null {
    const { spec, query, revocation } = this.#known;
    const revoked = revocation(key, certificate);
    if (revoked !== null) return new TunnelFailure('host-key-revoked', `${shownBy(query, key)}, ${revoked}`);
    const short = tooShort(key, spec.requiredRSASize);
    if (short !== null) return new TunnelFailure('no-common-algorithm', `${shownBy(query, key)}, ${short}`);
    if (this.#byAddress === null) return null;
    const verdict = checkHostKey(this.#byAddress.entries, this.#byAddress.query, key);
    // Of a certified host no address is known, as with ssh.
    const refuses = verdict.type === 'revoked' || (verdict.type === 'changed' && certificate === null);
    return refuses ? this.#explain(verdict, this.#byAddress.query, key, []) : null;
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

  #explain(verdict: Refusal, query: HostQuery, key: Buffer, notes: readonly string[]): TunnelFailure {
    const shown = shownBy(query, key);
    switch (verdict.type) {
      case 'revoked':
        return new TunnelFailure('host-key-revoked', `${shown}, which ${where(verdict.entry)} revokes`);
      case 'changed':
        return new TunnelFailure(
          'host-key-changed',
          `${shown}, but the known key is ${listed(verdict.entries)}${inBrackets(notes)}`,
        );
      case 'unknown': {
        const { files, loaded } = this.#known;
        const looked = files.length === 0 ? 'any file' : files.join(', ');
        return new TunnelFailure(
          'host-key-unknown',
          `${shown}, which is not in ${looked}${inBrackets([...firstOf(loaded.problems), ...notes])}`,
        );
      }
    }
  }

  trusted(): boolean {
    return this.#trusted;
  }

  certificate(): HostCertificate | null {
    return this.#certificate;
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
    // As ssh, a host that is known by its authority has no keys in known_hosts.
    if (this.#certificate !== null) return;
    // Only a server with a known key may teach, and only once (as with ssh); one that was accepted by `no` proves
    // nothing.
    if (!spec.updateHostKeys || !this.#trusted || this.#taught) return;
    this.#taught = true;
    // A list without the key that the server has just shown is ignored: it would remove that one.
    if (this.#shown === null || keys.length > MAX_ANNOUNCED_KEYS || !includes(keys, this.#shown)) return;
    await this.#forget(keys);
    await this.#adoptSpares(keys);
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

  /** A spare that the server uses by now is one of its keys: it will be forgotten like the others. */
  async #adoptSpares(current: readonly Buffer[]): Promise<void> {
    const { spec, log, query } = this.#known;
    const isUsed = ({ spare, hosts, key }: KnownHostsEntry) =>
      spare === true && isAboutOnly(hosts, query.name) && includes(current, key);
    for (const file of new Set(this.#entries.filter(isUsed).map((entry) => entry.file))) {
      if (!spec.userKnownHostsFiles.includes(file)) continue;
      const keys = this.#entries.filter((entry) => entry.file === file && isUsed(entry)).map(({ key }) => key);
      const add = linesFor(keys, query);
      if (add === null) continue;
      try {
        if (await rewriteKnownHosts(file, { add, remove: isUsed }))
          log.info(
            `${query.name} uses its spare host key now; ${file} has it as a key like any other (updateHostKeys)`,
          );
      } catch (error) {
        log.warn(`${file} still calls a key of ${query.name} a spare: ${errorText(error)}`);
      }
    }
  }

  async #forget(current: readonly Buffer[]): Promise<void> {
    const { spec, log, query } = this.#known;
    const isRetired = ({ marker, hosts, key, keyType, spare }: KnownHostsEntry) =>
      marker === 'none' &&
      spare !== true &&
      isAboutOnly(hosts, query.name) &&
      LISTED_TYPES.test(keyType) &&
      !includes(current, key);
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

function inBrackets(notes: readonly string[]): string {
  return notes.length === 0 ? '' : ` (${notes.join('; ')})`;
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

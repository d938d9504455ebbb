import { isLoopbackAddress } from '../../model/endpoint.ts';
import { type Clock, systemClock } from '../../lib/async/clock.ts';
import { inSlices } from '../../lib/async/slices.ts';
import type { Logger } from '../../lib/log/log.ts';
import { CA_SIGNATURE_ALGORITHMS, PLAIN_HOST_KEY_ALGORITHMS } from '../../model/algorithms.ts';
import { type Certificate, readCertificate } from '../ssh/certificate.ts';
import { asFailure, TunnelFailure } from '../../model/failure.ts';
import { certificateText, type HostCertificate } from '../../model/host-certificate.ts';
import { describeProblem, explainRefusal, type SearchedFiles, shownBy, where } from './explain.ts';
import { loadKnownHosts } from './file.ts';
import { authoritiesOf, checkHostCertificate, describeCertificate, isSound } from './host-certificate.ts';
import { isCertificateType, keyTypeOf, rsaBits } from './key-blob.ts';
import type { KnownHostsEntry } from './parse.ts';
import {
  checkHostKey,
  entriesAbout,
  hostQuery,
  knownHostsLine,
  knownKeyTypes,
  type HostQuery,
} from './check-host-key.ts';
import { loadRevokedKeys, type RevocationCheck } from './revoked-keys.ts';
import { includes, type KnownHost, MAX_ANNOUNCED_KEYS, rememberHostKeys, updateHostKeys } from './update-host-keys.ts';
import type { ServerSpec } from '../../model/spec.ts';

export async function prepareHostKeyVerifier(
  spec: ServerSpec,
  log: Logger,
  clock: Pick<Clock, 'wall'> = systemClock,
): Promise<HostKeyVerifier> {
  const query = hostQuery(spec.host, spec.port, spec.hostKeyAlias);
  const files = [...spec.userKnownHostsFiles, ...spec.globalKnownHostsFiles];
  const loaded = await loadKnownHosts(files);
  for (const { file, line, message } of loaded.problems) log.debug(`${file}:${line}: ${message}`);
  return new HostKeyVerifier({
    spec,
    log,
    clock,
    query,
    files,
    problems: loaded.problems,
    all: loaded.entries,
    revocation: await loadRevokedKeys(spec.revokedHostKeys),
    // One connection needs no other lines, and few lines make the synchronous look-up fast.
    entries: await inSlices(entriesAbout(loaded.entries, query)),
  });
}

/** What a look-up needs, beside what the server may change. */
interface PreparedHost extends KnownHost, SearchedFiles {
  readonly clock: Pick<Clock, 'wall'>;
  /** All that the files have, about whatever host. */
  readonly all: readonly KnownHostsEntry[];
  readonly revocation: RevocationCheck;
}

/** Verifies the host key of one connection's server. Everything is in memory: ssh2 needs the result at once. */
export class HostKeyVerifier {
  /** In order of preference. */
  readonly knownKeyTypes: readonly string[];
  /** Whether a @cert-authority line is about the host, so that it is asked for a certificate. */
  readonly certified: boolean;
  readonly #known: PreparedHost;
  #isUnknown = false;
  #shown: Buffer | null = null;
  #accepted: { readonly key: Buffer; readonly line: string } | null = null;
  #trusted = false;
  #certificate: HostCertificate | null = null;
  /** The certificate that was accepted last, and when. */
  #valid: { readonly shown: Buffer; readonly atMs: number } | null = null;
  #taught = false;
  #byAddress: { readonly query: HostQuery; readonly entries: readonly KnownHostsEntry[] } | null = null;

  constructor(known: PreparedHost) {
    this.#known = known;
    this.knownKeyTypes = knownKeyTypes(known.entries, known.query);
    this.certified = authoritiesOf(known.entries, known.query).length > 0;
  }

  /** Adds the server's own address before it shows its key; there is none behind a jump host or proxy. */
  async addAddress(address: string): Promise<void> {
    const { spec, query, all } = this.#known;
    const about = hostQuery(address, spec.port, null);
    // As ssh, which looks up no address of the machine itself (sshconnect.c, sockaddr_is_local).
    if (!spec.checkHostIP || isLoopbackAddress(address) || about.name === query.name) return;
    this.#byAddress = { query: about, entries: await inSlices(entriesAbout(all, about)) };
  }

  /** Null where the key is trusted. Called on the first key exchange and on every rekey. */
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
    const verdict = checkHostCertificate(this.#known.entries, query, certificate, allowed, atMs);
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
    const [authority] = authoritiesOf(this.#known.entries, this.#known.query);
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
    const verdict = checkHostKey(this.#known.entries, query, key);
    this.#trusted = verdict.type === 'known';
    this.#isUnknown = verdict.type === 'unknown';
    this.#shown = key;
    if (verdict.type === 'known') return null;
    const failure = explainRefusal(verdict, query, key, this.#known, notes);
    // StrictHostKeyChecking `no` accepts a new host, but not a changed key.
    if (verdict.type === 'revoked' || verdict.type === 'changed') return failure;
    if (spec.strictHostKeyChecking === 'no') {
      log.warn(`connecting anyway (strictHostKeyChecking: no): ${failure.message}`);
      return null;
    }
    // Line 0 stands for a whole file: a host that seems new may be in it.
    const isNew = !this.#known.problems.some(({ line }) => line === 0);
    return spec.strictHostKeyChecking === 'accept-new' && isNew ? this.#accept(key) : failure;
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
    return refuses ? explainRefusal(verdict, this.#byAddress.query, key, this.#known, []) : null;
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

  /** True when the key was found in known_hosts or written there; a password is sent to no other server. */
  trusted(): boolean {
    return this.#trusted;
  }

  /** The certificate for which the key is trusted; null where it is known itself. */
  certificate(): HostCertificate | null {
    return this.#certificate;
  }

  /** The parts of known_hosts that could not be read, where the host was not found in the rest. */
  unread(): readonly string[] {
    return this.#isUnknown ? this.#known.problems.map(describeProblem) : [];
  }

  /** The server has proven to own its key: writes a key that was accepted as new, as ssh does. */
  async proven(): Promise<void> {
    if (this.#accepted === null) return;
    const { key, line } = this.#accepted;
    this.#accepted = null;
    const { name } = this.#known.query;
    await rememberHostKeys(
      this.#known,
      [key],
      [line],
      `host key of ${name} accepted as new (strictHostKeyChecking: accept-new)`,
    );
  }

  /**
   * Gets all keys that the server has proven to own: new ones are added, so that a rotation locks nothing out, and
   * those that the server no longer has are removed, so that a stolen one is of no use (UpdateHostKeys in
   * ssh_config(5)).
   */
  async learn(keys: readonly Buffer[]): Promise<void> {
    // As ssh, a host that is known by its authority has no keys in known_hosts.
    if (this.#certificate !== null) return;
    // Only a server with a known key may teach, and only once (as with ssh); one that was accepted by `no` proves
    // nothing.
    if (!this.#known.spec.updateHostKeys || !this.#trusted || this.#taught) return;
    this.#taught = true;
    // A list without the key that the server has just shown is ignored: it would remove that one.
    if (this.#shown === null || keys.length > MAX_ANNOUNCED_KEYS || !includes(keys, this.#shown)) return;
    await updateHostKeys(this.#known, keys, (key) => this.#refuse(key) !== null);
  }
}

function tooShort(key: Buffer, required: number): string | null {
  const bits = rsaBits(key);
  return bits === null || bits >= required ? null : `whose ${bits} bits are fewer than requiredRSASize ${required}`;
}

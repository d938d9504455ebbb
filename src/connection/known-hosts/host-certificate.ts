import { printable } from '../../lib/text.ts';
import { type Certificate, FOREVER, isSigned, LAST_SECOND } from '../ssh/certificate.ts';
import type { HostCertificate } from '../../model/host-certificate.ts';
import { isAbout, type HostQuery } from './check-host-key.ts';
import { listed } from './explain.ts';
import { fingerprint, keyTypeOf } from './key-blob.ts';
import { matchesGlob } from '../../lib/glob.ts';
import type { KnownHostsEntry } from './parse.ts';

/**
 * Whether it is for users or hosts, and signed by the authority that it names; ssh ends the connection otherwise. SHA-1
 * is a signature here, which caSignatureAlgorithms forbids.
 */
export function isSound(certificate: Certificate | null): certificate is Certificate {
  return certificate !== null && certificate.use !== 'unknown' && isSigned(certificate, true);
}

/** The result of a look-up of a server's certificate in known_hosts. */
export type HostCertificateVerdict =
  /** `entry` is the line of its authority. */
  | { readonly type: 'known'; readonly entry: KnownHostsEntry }
  /** The authority or the certified key is revoked. */
  | { readonly type: 'revoked'; readonly entry: KnownHostsEntry }
  /** It proves nothing here, but the plain key may be known. The reason is the end of a sentence about it. */
  | { readonly type: 'unfit'; readonly reason: string };

/**
 * Checks a host certificate as OpenSSH does since 10.3 (check_host_key in sshconnect.c, sshkey_cert_check_host in
 * sshkey.c): its names may have wildcards, and one without names is for no host. Before, wildcards were plain text, and
 * a certificate without names was for every host. `atMs` is a time since 1970.
 *
 * Stricter than OpenSSH in one point: what is revoked for the bare host name is revoked on all its ports.
 */
export function checkHostCertificate(
  entries: readonly KnownHostsEntry[],
  query: HostQuery,
  certificate: Certificate,
  caSignatureAlgorithms: readonly string[],
  atMs: number,
): HostCertificateVerdict {
  const about = entries.filter((entry) => isAbout(entry, query));
  const { authority, key } = certificate;
  const revoked = about.find(
    (entry) => entry.marker === 'revoked' && (entry.key.equals(authority) || entry.key.equals(key)),
  );
  if (revoked) return { type: 'revoked', entry: revoked };
  const entry = about.find((one) => one.marker === 'cert-authority' && one.key.equals(authority));
  if (entry === undefined) return { type: 'unfit', reason: 'has an authority that no @cert-authority line names' };
  const reason = unfitness(certificate, query, caSignatureAlgorithms, atMs);
  return reason === null ? { type: 'known', entry } : { type: 'unfit', reason };
}

/** The @cert-authority lines about the host: where there is none, no certificate is requested. */
export function authoritiesOf(entries: readonly KnownHostsEntry[], query: HostQuery): readonly KnownHostsEntry[] {
  return entries.filter((entry) => entry.marker === 'cert-authority' && isAbout(entry, query));
}

function unfitness(
  { use, principals, validAfter, validBefore, criticalOptions, signatureAlgorithm }: Certificate,
  { principal }: HostQuery,
  caSignatureAlgorithms: readonly string[],
  atMs: number,
): string | null {
  const seconds = BigInt(Math.floor(atMs / 1000));
  if (use !== 'host') return 'is for users, not for hosts';
  if (seconds < validAfter)
    return `is not valid before ${timeText(validAfter)}, and the clock of this device says ${new Date(atMs).toISOString()}`;
  if (seconds >= validBefore) return `has expired at ${timeText(validBefore)}`;
  if (principals.length === 0) return 'names no host';
  if (!principals.some((name) => name.length <= MAX_PRINCIPAL && matchesGlob(principal, name)))
    return `is for ${listed(principals, (name) => printable(name, 255))}`;
  const [option] = criticalOptions;
  if (option !== undefined) return `has the unknown critical option ${printable(option.name, 64)}`;
  if (!caSignatureAlgorithms.includes(signatureAlgorithm))
    return `is signed by ${printable(signatureAlgorithm, 64)}, which caSignatureAlgorithms does not allow`;
  return null;
}

/** Longer than any host name, and short enough that all names of a certificate are compared at once. */
const MAX_PRINCIPAL = 1022;

/** What a person needs to know of it. */
export function describeCertificate({ keyId, authority, validBefore }: Certificate): HostCertificate {
  return {
    keyId: printable(keyId, 120),
    authority: `${keyTypeOf(authority)} ${fingerprint(authority)}`,
    validUntil: validBefore >= FOREVER ? null : timeText(validBefore),
  };
}

/** An ISO time, or seconds for what is beyond all calendars. */
function timeText(seconds: bigint): string {
  return seconds <= LAST_SECOND ? new Date(Number(seconds) * 1000).toISOString() : `second ${seconds} of Unix time`;
}

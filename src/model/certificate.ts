import { printable } from '../lib/text.ts';

/** What is shown of the certificate of a user. Its texts are safe to print. */
export interface CertificateFacts {
  /** Null for one that only an agent has. */
  readonly file: string | null;
  /** What the authority calls it (`ssh-keygen -I`). */
  readonly keyId: string;
  readonly serial: string;
  readonly principals: readonly string[];
  /** The fingerprint of the authority's key. */
  readonly authority: string;
  /** Milliseconds since 1970; null for always. */
  readonly validFrom: number | null;
  /** Milliseconds since 1970; null for ever. */
  readonly validUntil: number | null;
  /** Where it may be used from (`source-address`); null for everywhere. */
  readonly addresses: string | null;
  /** Critical options that OpenSSH does not know, for which it refuses a certificate. */
  readonly unknownOptions: readonly string[];
  /** Whether forwards are allowed with it (`permit-port-forwarding`). */
  readonly forwards: boolean;
}

/** Whether a certificate is valid at a time of day, in milliseconds since 1970. */
function validityOf(certificate: CertificateFacts, wall: number): 'not-yet' | 'valid' | 'expiring' | 'expired' {
  const { validFrom, validUntil } = certificate;
  if (validFrom !== null && wall < validFrom) return 'not-yet';
  if (validUntil !== null && wall >= validUntil) return 'expired';
  const warnFrom = warnedFrom(certificate);
  return warnFrom !== null && wall >= warnFrom ? 'expiring' : 'valid';
}

/** When it is time to warn of its end: with a tenth of its life left, at most a day. Null for one without an end. */
export function warnedFrom({ validFrom, validUntil }: CertificateFacts): number | null {
  if (validUntil === null) return null;
  const life = validFrom === null ? Infinity : validUntil - validFrom;
  return validUntil - Math.min(DAY_MS, life / 10);
}

const DAY_MS = 86_400_000;

/** `certificate FILE (ID "web", for alice, until 2026-01-01 12:00:00 UTC)`. */
export function describeCertificate(certificate: CertificateFacts): string {
  const { keyId, principals, validUntil } = certificate;
  const names = principals.length === 0 ? 'no principals' : principals.join(',');
  const end = validUntil === null ? 'without an end' : `until ${formatTime(validUntil)}`;
  return `${nameOf(certificate)} (ID ${JSON.stringify(keyId)}, for ${names}, ${end})`;
}

/** What is wrong with it, or soon will be, as far as it shows on this side; null for nothing. */
export function certificateProblem(certificate: CertificateFacts, wall: number): string | null {
  const { validFrom, validUntil, unknownOptions } = certificate;
  const what = `the ${nameOf(certificate)}`;
  switch (validityOf(certificate, wall)) {
    case 'expired':
      return `${what} expired at ${formatTime(validUntil!)}, ${formatSpan(wall - validUntil!)} ago by the clock of this device: renew it`;
    case 'not-yet':
      return `${what} is not valid before ${formatTime(validFrom!)}, in ${formatSpan(validFrom! - wall)} by the clock of this device: is one of the clocks wrong?`;
    case 'expiring':
      return `${what} expires at ${formatTime(validUntil!)}, in ${formatSpan(validUntil! - wall)}: renew it, or the next login after that fails`;
    case 'valid':
      return unknownOptions.length === 0
        ? null
        : `${what} has the critical option ${unknownOptions.join(', ')}, which OpenSSH does not know: servers refuse it`;
  }
}

/** Why a server refuses every forward of a login by it, whatever its other rules allow (PROTOCOL.certkeys); null where it does not. */
export function forbidsForwards(certificate: CertificateFacts | null): string | null {
  if (certificate === null || certificate.forwards) return null;
  return `the ${nameOf(certificate)} lacks permit-port-forwarding: have its authority sign a new one with it, as ssh-keygen -s does by itself`;
}

/** Why a server may have refused it. What cannot be seen on this side is called a guess. */
export function explainRefusal(certificate: CertificateFacts, user: string, wall: number): string {
  const problem = certificateProblem(certificate, wall);
  if (problem !== null && validityOf(certificate, wall) !== 'expiring') return problem;
  const { principals, authority, addresses } = certificate;
  const what = `the ${nameOf(certificate)}`;
  // They are as they are shown, in which a secret that looks like a name is masked.
  if (!principals.includes(printable(user)))
    return `${what} is for ${principals.join(',') || 'no principals'} and not for ${user}: a server takes it for ${user} only where it says so itself (AuthorizedPrincipalsFile)`;
  const from =
    addresses === null ? '' : `, or sees this device at an address other than ${addresses}, to which it is limited`;
  return `${what} is valid and for ${user} as far as this device can see; perhaps the server does not trust its authority ${authority} (TrustedUserCAKeys), has revoked it, or allows ${user} other principals only (AuthorizedPrincipalsFile)${from}`;
}

function nameOf({ file, keyId }: CertificateFacts): string {
  return file === null ? `certificate ${JSON.stringify(keyId)} of the agent` : `certificate ${file}`;
}

function formatTime(ms: number): string {
  return new Date(ms).toISOString().replace('T', ' ').replace('.000Z', ' UTC');
}

function formatSpan(ms: number): string {
  const minutes = Math.max(1, Math.round(ms / 60_000));
  if (minutes < 120) return `${minutes} min`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.round(hours / 24)} days`;
}

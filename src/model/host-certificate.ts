/** The certificate for which a server's host key is trusted, safe to print. */
export interface HostCertificate {
  /** What the authority calls it. */
  readonly keyId: string;
  /** The type and fingerprint of the authority's key. */
  readonly authority: string;
  /** When it expires, an ISO time; null for never. */
  readonly validUntil: string | null;
}

/** It, within a line. */
export function certificateText({
  keyId,
  authority,
  validUntil = null,
}: Omit<HostCertificate, 'validUntil'> & { readonly validUntil?: string | null }): string {
  return `certificate "${keyId}" of ${authority}, valid ${validUntil === null ? 'for ever' : `until ${validUntil}`}`;
}

import { printable } from '../../lib/text.ts';
import { formatAddress } from '../../model/endpoint.ts';
import type { AuthMethod } from '../../model/options.ts';
import type { ServerSpec } from '../../model/spec.ts';
import { describeCertificate, explainRefusal, type CertificateFacts } from '../../model/certificate.ts';
import type { Identity } from './credentials.ts';

/** What was offered to a server, and its answers; contains no secret. */
export interface AuthReport {
  /** In the order in which they were offered. */
  readonly offers: readonly Offer[];
  /** The methods that may continue, as the server last listed them; null before its first list. */
  readonly accepts: readonly string[] | null;
  /** The methods of its first list: one of these alone may be enough. */
  readonly acceptsAlone: readonly string[] | null;
  /** Methods for which there is something to offer, and none of which the server accepts. */
  readonly unwanted: readonly AuthMethod[];
  /** What was not offered, with the reason. */
  readonly withheld: readonly string[];
}

export interface Offer {
  readonly method: AuthMethod;
  /** Null for a method without a key. */
  readonly key:
    | (Pick<Identity, 'source' | 'path' | 'comment' | 'keyType' | 'fingerprint'> & {
        readonly certificate?: CertificateFacts;
      })
    | null;
  readonly result: OfferResult;
  /** The server accepted the key, and got a signature. */
  readonly signed: boolean;
}

export type OfferResult =
  | { readonly type: 'pending' }
  | { readonly type: 'refused' }
  /** Accepted, but the server requires something more. */
  | { readonly type: 'partial' }
  /** Never sent, or never finished. */
  | { readonly type: 'unusable'; readonly reason: string };

/** Whether the server had nothing to reject: what is missing on this side is no reason for it to delay us. */
export function offeredNothing({ offers, unwanted }: AuthReport): boolean {
  return unwanted.length === 0 && offers.every(({ result }) => result.type === 'unusable');
}

/**
 * The message of auth-rejected: the server, the user, what was offered, and what the server would still accept. `wall` is the time of
 * day, in milliseconds since 1970.
 */
export function describeAuth(spec: ServerSpec, report: AuthReport, wall: number): string {
  const server = formatAddress(spec);
  const parts = [
    describeOffers(report, server, spec.user),
    ...refusedCertificates(report).map((certificate) => explainRefusal(certificate, spec.user, wall)),
    ...(report.accepts === null ? [] : [`the server accepts ${printable(report.accepts.join(',')) || 'nothing'}`]),
    ...report.withheld,
    ...(spec.authentications.includes('publickey')
      ? []
      : ['keys are turned off (pubkeyAuthentication, preferredAuthentications)']),
    ...(wantsIdentitiesOnly(report)
      ? ['many servers disconnect after 6 tries: `identitiesOnly: yes` offers only the configured keys']
      : []),
  ];
  return parts.join('; ');
}

function refusedCertificates({ offers }: AuthReport): readonly CertificateFacts[] {
  const refused = offers.filter(({ result }) => result.type === 'refused').map(({ key }) => key?.certificate);
  return refused.filter((certificate) => certificate !== undefined);
}

function describeOffers({ offers, unwanted }: AuthReport, server: string, user: string): string {
  if (offers.length > 0) return `${server} refused user ${user}: offered ${offers.map(describeOffer).join(', ')}`;
  if (unwanted.length > 0) return `${server} refused user ${user}: it does not accept ${unwanted.join(' or ')}`;
  return `nothing to offer to ${server} for user ${user}`;
}

/** What was offered and accepted, in its order. */
export function acceptedOffers({ offers }: AuthReport): readonly Offer[] {
  return offers.filter(({ result }) => ['pending', 'partial'].includes(result.type));
}

/** What the server accepted, and what it refused before. */
export function describeAccepted(report: AuthReport): string {
  const taken = acceptedOffers(report).map(describeOffer);
  const others = report.offers.filter(({ result }) => ['refused', 'unusable'].includes(result.type)).map(describeOffer);
  return [taken.join(' and '), ...(others.length === 0 ? [] : [`refused: ${others.join(', ')}`])].join('; ');
}

/** The certificate by which the server has let us in. */
export function acceptedCertificate(report: AuthReport): CertificateFacts | null {
  return acceptedOffers(report).find(({ key }) => key?.certificate !== undefined)?.key?.certificate ?? null;
}

function describeOffer(offer: Offer): string {
  const what = offer.key === null ? offer.method : describeKey(offer.key);
  if (offer.result.type === 'partial') return `${what} [accepted, but not enough]`;
  if (offer.result.type === 'refused' && offer.signed) return `${what} [${refusedSignature(offer)}]`;
  if (offer.result.type === 'unusable') return `${what} [${offer.result.reason}]`;
  return what;
}

/** A key that was accepted, and its signature was not. */
function refusedSignature({ key }: Offer): string {
  if (key?.keyType.startsWith('sk-') !== true) return 'its signature was refused';
  return 'its signature was refused: a server wants a touch of a security key unless no-touch-required stands before it in authorized_keys, or in its certificate';
}

function describeKey({ source, path, comment, keyType, fingerprint, certificate }: NonNullable<Offer['key']>): string {
  const where = [source === 'agent' ? 'agent' : null, path ?? (comment || null)].filter((part) => part !== null);
  const key = `${keyType.replace(/^ssh-/, '')} ${fingerprint} (${where.join(' ')})`;
  return certificate === undefined ? key : `${key} with the ${describeCertificate(certificate)}`;
}

/** MaxAuthTries is 6 by default (sshd_config(5)). */
function wantsIdentitiesOnly({ offers }: AuthReport): boolean {
  return offers.length >= 5 && offers.some(({ key }) => key?.source === 'agent' && key.path === null);
}

import { printable } from '../../lib/text.ts';
import { formatEndpoint } from '../../model/endpoint.ts';
import type { ServerSpec } from '../../model/spec.ts';
import type { Identity } from './credentials.ts';

/** What was offered to a server and what it said; nothing in it is secret. */
export interface AuthReport {
  /** In the order in which they were offered. */
  readonly offers: readonly Offer[];
  /** The methods with which one could go on, as the server last said; null where it said nothing yet. */
  readonly accepts: readonly string[] | null;
  /** The same as it said at first: one of these alone may be enough. */
  readonly acceptsAlone: readonly string[] | null;
  /** Methods for which there is something to offer, and of which the server takes none. */
  readonly unwanted: readonly Method[];
  /** What was not offered, and why. */
  readonly withheld: readonly string[];
}

export interface Offer {
  readonly method: Method;
  /** Null for a method without a key. */
  readonly key: Pick<Identity, 'source' | 'path' | 'comment' | 'keyType' | 'fingerprint'> | null;
  readonly result: OfferResult;
}

export type Method = 'publickey' | 'password' | 'keyboard-interactive';

export type OfferResult =
  | { readonly type: 'pending' }
  | { readonly type: 'refused' }
  /** Accepted, but the server wants something more. */
  | { readonly type: 'partial' }
  /** Never sent, or never finished. */
  | { readonly type: 'unusable'; readonly reason: string };

/** Whether the server had nothing to reject: what is missing here is no reason for it to have us wait. */
export function offeredNothing({ offers, unwanted }: AuthReport): boolean {
  return unwanted.length === 0 && offers.every(({ result }) => result.type === 'unusable');
}

/** The message of auth-rejected: who refused whom, what was offered, and what the server would still take. */
export function describeAuth(spec: ServerSpec, report: AuthReport): string {
  const server = formatEndpoint({ type: 'tcp', host: spec.host, port: spec.port });
  const parts = [
    describeOffers(report, server, spec.user),
    ...(report.accepts === null ? [] : [`the server accepts ${printable(report.accepts.join(',')) || 'nothing'}`]),
    ...report.withheld,
    ...(spec.authentications.includes('publickey')
      ? []
      : ['keys are not used (pubkeyAuthentication, preferredAuthentications)']),
    ...(wantsIdentitiesOnly(report)
      ? ['many servers hang up after 6 tries: `identitiesOnly: yes` offers only the configured keys']
      : []),
  ];
  return parts.join('; ');
}

function describeOffers({ offers, unwanted }: AuthReport, server: string, user: string): string {
  if (offers.length > 0) return `${server} refused user ${user}: offered ${offers.map(describeOffer).join(', ')}`;
  if (unwanted.length > 0) return `${server} refused user ${user}: it does not take ${unwanted.join(' or ')}`;
  return `there was nothing to offer to ${server} for user ${user}`;
}

/** What the server took, and what it refused before. */
export function describeAccepted({ offers }: AuthReport): string {
  const taken = offers.filter(({ result }) => ['pending', 'partial'].includes(result.type)).map(describeOffer);
  const others = offers.filter(({ result }) => ['refused', 'unusable'].includes(result.type)).map(describeOffer);
  return [taken.join(' and '), ...(others.length === 0 ? [] : [`refused were ${others.join(', ')}`])].join('; ');
}

function describeOffer(offer: Offer): string {
  const what = offer.key === null ? offer.method : describeKey(offer.key);
  if (offer.result.type === 'partial') return `${what} [accepted, but not enough]`;
  if (offer.result.type === 'unusable') return `${what} [${offer.result.reason}]`;
  return what;
}

function describeKey(key: NonNullable<Offer['key']>): string {
  const where = [key.source === 'agent' ? 'agent' : null, key.path ?? (key.comment || null)].filter(
    (part) => part !== null,
  );
  return `${key.keyType.replace(/^ssh-/, '')} ${key.fingerprint} (${where.join(' ')})`;
}

/** sshd_config(5): MaxAuthTries is 6 by default. */
function wantsIdentitiesOnly({ offers }: AuthReport): boolean {
  return offers.length >= 5 && offers.some(({ key }) => key?.source === 'agent' && key.path === null);
}

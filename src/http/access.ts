import { createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { isLoopbackHost } from '../model/endpoint.ts';

/** Who may ask. */
export interface AccessPolicy {
  /** Clients of a Unix socket have passed its permissions, and no browser is among them. */
  readonly socket: boolean;
  /** Null where only this device can connect. */
  readonly token: string | null;
}

/** Null where the request may be answered, else the status to refuse it with, and why. */
export interface Refusal {
  readonly status: 401 | 403;
  readonly reason: string;
}

/**
 * Pure: whether a request may be answered. Without a token the name in it must be one of this device: a page elsewhere whose name was
 * made to lead here (DNS rebinding) is refused. A page of another origin never gets an answer that it could read.
 */
export function judge(headers: IncomingHttpHeaders, { socket, token }: AccessPolicy): Refusal | null {
  if (socket) return null;
  const host = hostOf(headers.host);
  if (token === null && (host === null || !isLoopbackHost(host)))
    return { status: 403, reason: 'the Host header names another machine; ask for localhost or 127.0.0.1' };
  const { origin } = headers;
  if (origin !== undefined && origin !== `http://${headers.host ?? ''}`)
    return { status: 403, reason: 'the request comes from a page of another origin' };
  const { 'sec-fetch-site': site = 'none', 'sec-fetch-mode': mode } = headers;
  // A link that somebody follows is no page that reads.
  if (site !== 'same-origin' && site !== 'none' && mode !== 'navigate')
    return { status: 403, reason: 'the request comes from a page of another origin' };
  if (token === null || hasToken(headers, token)) return null;
  return {
    status: 401,
    reason: 'a token is needed: `tunneld page` prints a link for a browser; others send Authorization: Bearer TOKEN',
  };
}

function hostOf(header: string | undefined): string | null {
  const [, bracketed, plain] = /^(?:\[([\da-fA-F:]+)\]|([^:[\]/@]+))(?::\d{1,5})?$/.exec(header ?? '') ?? [];
  return bracketed ?? plain ?? null;
}

function hasToken(headers: IncomingHttpHeaders, token: string): boolean {
  const [, bearer = ''] = /^Bearer +(\S+)$/i.exec(headers.authorization ?? '') ?? [];
  if (bearer !== '' && isSame(bearer, token)) return true;
  const cookies = (headers.cookie ?? '').split(/; */);
  return cookies.some((cookie) => isSame(cookie, `${COOKIE}=${cookieOf(token)}`));
}

/** What a browser keeps: it tells nothing of the token, and outlives the daemon. */
export function cookieOf(token: string): string {
  return createHmac('sha256', token).update('cookie of the page').digest('base64url');
}

export const COOKIE = 'tunneld';

function isSame(a: string, b: string): boolean {
  const [one, other] = [digest(a), digest(b)];
  return timingSafeEqual(one, other);
}

/** Of equal length, whatever was sent. */
function digest(text: string): Buffer {
  return createHmac('sha256', 'compare').update(text).digest();
}

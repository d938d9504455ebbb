import { createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { isLoopbackHost } from '../model/endpoint.ts';

/** Who may ask. */
export interface AccessPolicy {
  /** Clients of a Unix socket have passed its permissions; a browser may be among them, behind `ssh -L`. */
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
  if (token === null && !isNameOfDevice(headers.host, socket))
    return { status: 403, reason: 'the Host header names another machine; ask for localhost or 127.0.0.1' };
  const { origin } = headers;
  if (origin !== undefined && origin !== `http://${headers.host ?? ''}`)
    return { status: 403, reason: 'the request comes from a page of another origin' };
  const { 'sec-fetch-site': site = 'none', 'sec-fetch-mode': mode } = headers;
  // A followed link is a navigation: the page that has it reads nothing.
  if (site !== 'same-origin' && site !== 'none' && mode !== 'navigate')
    return { status: 403, reason: 'the request comes from a page of another origin' };
  if (token === null || hasToken(headers, token)) return null;
  return {
    status: 401,
    reason: 'a token is needed: `tunneld page` prints a link for a browser; others send Authorization: Bearer TOKEN',
  };
}

/** Clients of a Unix socket name it as they like, but no name of the DNS, which all have a dot, is one of it. */
function isNameOfDevice(header: string | undefined, socket: boolean): boolean {
  if (header === undefined || header === '') return socket;
  const host = hostOf(header);
  return host !== null && (isLoopbackHost(host) || (socket && /^[\w-]+$/.test(host)));
}

function hostOf(header: string): string | null {
  const [, bracketed, plain] = /^(?:\[([\da-fA-F:.]+)\]|([^:[\]/@]+))(?::\d{1,5})?$/.exec(header) ?? [];
  return bracketed ?? plain ?? null;
}

function hasToken(headers: IncomingHttpHeaders, token: string): boolean {
  const [, bearer = ''] = /^Bearer +(\S+)$/i.exec(headers.authorization ?? '') ?? [];
  if (bearer !== '' && isSame(bearer, token)) return true;
  return (headers.cookie ?? '').split(/; */).some((cookie) => isSame(cookie, cookieOf(token)));
}

/**
 * What a browser keeps, NAME=VALUE: it reveals nothing of the token, and outlives the daemon. Browsers give a cookie to every port of a host
 * (RFC 6265 section 8.5), so that the name is another one for each token: that of a second daemon does not displace it.
 */
export function cookieOf(token: string): string {
  const derive = (what: string) => createHmac('sha256', token).update(what).digest('base64url');
  return `tunneld-${derive('name of the cookie').slice(0, 8)}=${derive('cookie of the page')}`;
}

function isSame(a: string, b: string): boolean {
  const [one, other] = [digest(a), digest(b)];
  return timingSafeEqual(one, other);
}

/** Of equal length, whatever was sent. */
function digest(text: string): Buffer {
  return createHmac('sha256', 'compare').update(text).digest();
}

import { isIP, isIPv6 } from 'node:net';
import { canonicalAddress } from './address.ts';
import { BadValue, readText, show } from './value.ts';

/** The name or address of another computer. Never repeats what looks like a user name, because a password may stand beside it. */
export function readHost(raw: unknown): string {
  const text = readText(raw);
  if (text.includes('@')) throw new BadValue('must be a host alone: the user has a key of its own, user');
  if (text.startsWith('[') && text.endsWith(']')) throw new BadValue('must be written without brackets');
  if (text.includes(':') && !isIPv6(text))
    throw new BadValue('must be a host alone: the port has a key of its own, port');
  if (!isIPv6(text) && !HOST.test(text)) throw new BadValue(`must be a host name or an IP address, not ${show(raw)}`);
  return text;
}

/** The longest is the longest of the DNS (RFC 1035 section 2.3.4). Underscores are no good names, but they are in use. */
const HOST = /^[\p{L}\p{N}_][\p{L}\p{N}_.-]{0,252}$/u;

/** One of the device's own addresses. */
export function readAddress(raw: unknown): string {
  const text = canonicalAddress(readText(raw));
  if (isIP(text) === 0) throw new BadValue(`must be an IP address of this device, not ${show(raw)}`);
  return text;
}

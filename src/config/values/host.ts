import { isIP, isIPv6 } from 'node:net';
import { canonicalAddress } from './address.ts';
import { BadValue, readText, show } from './value.ts';

/** The name or address of a host. A message never repeats text with a user, which may have a password beside it. */
export function readHost(raw: unknown): string {
  const text = readText(raw);
  if (text.includes('@')) throw new BadValue('must be a host only: set the user with the key user');
  if (text.startsWith('[') && text.endsWith(']')) throw new BadValue('must be written without brackets');
  if (text.includes(':') && !isIPv6(text)) throw new BadValue('must be a host only: set the port with the key port');
  if (!isIPv6(text) && !HOST.test(text)) throw new BadValue(`must be a host name or an IP address, not ${show(raw)}`);
  return text;
}

/** The longest name of the DNS (RFC 1035 section 2.3.4). Underscores are not allowed there, but in use. */
const HOST = /^[\p{L}\p{N}_][\p{L}\p{N}_.-]{0,252}$/u;

/** An address of this device. */
export function readAddress(raw: unknown): string {
  const text = canonicalAddress(readText(raw));
  if (isIP(text) === 0) throw new BadValue(`must be an IP address of this device, not ${show(raw)}`);
  return text;
}

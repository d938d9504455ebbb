import { isIPv4, isIPv6, SocketAddress } from 'node:net';
import { domainToASCII } from 'node:url';

/**
 * The canonical form of an address, as ssh compares and writes it (ssh.c, resolve_addr); other text is unchanged. IPv4 may be written
 * as for inet_aton(3): one to four parts, decimal, octal or hexadecimal, of which the last fills the rest.
 */
export function canonicalAddress(host: string): string {
  if (isIPv6(host) && !host.includes('%')) {
    const short = new SocketAddress({ address: host, family: 'ipv6' }).address;
    return short === host.toLowerCase() ? host : short;
  }
  if (isIPv4(host) || !NUMBERS.test(host)) return host;
  // The URL standard reads the host of a URL by the same rules; what is no address is empty.
  const address = domainToASCII(host);
  return isIPv4(address) ? address : host;
}

const NUMBERS = /^(?:0x[\da-f]+|\d+)(?:\.(?:0x[\da-f]+|\d+)){0,3}$/i;

/** Whether ssh treats a text as an address, possibly an invalid one, and not as a name (ssh.c, is_addr). */
export function isAddress(host: string): boolean {
  return /[%:]|^[\d.]+$/.test(host) || isIPv4(canonicalAddress(host));
}

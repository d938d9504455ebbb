import { isIPv4, isIPv6, SocketAddress } from 'node:net';

/**
 * The canonical form of an address, as ssh compares and writes it (ssh.c, resolve_addr); other text is unchanged. IPv4 may be written
 * as for inet_aton(3): one to four parts, decimal, octal or hexadecimal, of which the last fills the rest.
 */
export function canonicalAddress(host: string): string {
  if (isIPv6(host) && !host.includes('%')) {
    const short = new SocketAddress({ address: host, family: 'ipv6' }).address;
    return short === host.toLowerCase() ? host : short;
  }
  if (isIPv4(host) || !/^[\da-fx.]+$/i.test(host)) return host;
  const parts = host.split('.').map(readPart);
  const last = parts.pop() ?? -1;
  const rest = 4 - parts.length;
  if (rest < 1 || parts.some((part) => !(part >= 0 && part <= 255)) || !(last >= 0 && last < 256 ** rest)) return host;
  const bytes = Array.from({ length: rest }, (_, index) => Math.floor(last / 256 ** (rest - 1 - index)) % 256);
  return [...parts, ...bytes].join('.');
}

/** Whether ssh treats a text as an address, possibly an invalid one, and not as a name (ssh.c, is_addr). */
export function isAddress(host: string): boolean {
  return /[%:]|^[\d.]+$/.test(host) || isIPv4(canonicalAddress(host));
}

function readPart(text: string): number {
  if (/^0x[\da-f]+$/i.test(text)) return Number.parseInt(text.slice(2), 16);
  if (/^0[0-7]*$/.test(text)) return Number.parseInt(text, 8);
  return /^[1-9]\d*$/.test(text) ? Number(text) : Number.NaN;
}

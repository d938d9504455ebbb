import { isIP, isIPv4 } from 'node:net';
import type { Endpoint } from '../../model/endpoint.ts';
import type { ForwardSpec } from '../../model/spec.ts';
import type { Visitor } from '../../connection/ssh/connection.ts';

/**
 * What a target with `proxyProtocol` gets before the visitor's first byte (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt):
 * where the visitor comes from, and the listener it connected to. Without a visitor, for a check of the target, and for visitors without
 * an address it is UNKNOWN (version 1) or LOCAL (version 2), with which a target takes the connection for one of this device. Null for a
 * forward without the option.
 */
export function proxyHeader(
  { proxyProtocol }: ForwardSpec,
  visitor: Pick<Visitor, 'originator' | 'listen'> | null,
): Buffer | null {
  if (proxyProtocol === undefined) return null;
  const ends = visitor && endsOf(visitor);
  return proxyProtocol === 'v1' ? Buffer.from(version1(ends), 'latin1') : version2(ends);
}

/** Both ends of a visitor's connection to the server: two addresses of one family, and two ports. */
interface Ends {
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

/** Null where the address is not one (a Unix socket, or what a server says instead). */
function endsOf({ originator, listen }: Pick<Visitor, 'originator' | 'listen'>): Ends | null {
  const [, address = '', port = ''] = /^(.*):(\d{1,5})$/.exec(originator) ?? [];
  const source = plainAddress(address);
  const sourcePort = Number(port);
  if (listen.type === 'unix' || isIP(source) === 0 || sourcePort > 65_535) return null;
  return { source, destination: destinationFor(source, listen), sourcePort, destinationPort: listen.port };
}

/** An IPv4 address in IPv6 is one of IPv4; the interface that a link-local address may name means nothing here. */
function plainAddress(address: string): string {
  return address.replace(/%.*$/, '').replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, '');
}

/** The address of the listener; where it has many, the unspecified one of the visitor's family, for the server does not say which it was. */
function destinationFor(source: string, { host }: Endpoint & { readonly type: 'tcp' }): string {
  const isFourth = isIPv4(source);
  if (host.toLowerCase() === 'localhost') return isFourth ? '127.0.0.1' : '::1';
  const address = plainAddress(host);
  if (isIP(address) === isIP(source)) return address;
  return isFourth ? '0.0.0.0' : '::';
}

/** At most 107 bytes. */
function version1(ends: Ends | null): string {
  if (ends === null) return 'PROXY UNKNOWN\r\n';
  const { source, destination, sourcePort, destinationPort } = ends;
  const family = isIPv4(source) ? 'TCP4' : 'TCP6';
  return `PROXY ${family} ${source} ${destination} ${sourcePort} ${destinationPort}\r\n`;
}

const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const VERSION_2_LOCAL = 0x20;
const VERSION_2_PROXY = 0x21;
const TCP_OVER_IPV4 = 0x11;
const TCP_OVER_IPV6 = 0x21;

function version2(ends: Ends | null): Buffer {
  if (ends === null) return Buffer.concat([SIGNATURE, Buffer.from([VERSION_2_LOCAL, 0, 0, 0])]);
  const { source, destination, sourcePort, destinationPort } = ends;
  const body = Buffer.from([
    ...bytesOf(source),
    ...bytesOf(destination),
    ...[sourcePort, destinationPort].flatMap((port) => [port >> 8, port & 0xff]),
  ]);
  const family = isIPv4(source) ? TCP_OVER_IPV4 : TCP_OVER_IPV6;
  return Buffer.concat([SIGNATURE, Buffer.from([VERSION_2_PROXY, family, 0, body.length]), body]);
}

/** The bytes of a valid address, in the order of the network. */
function bytesOf(address: string): readonly number[] {
  if (isIPv4(address)) return address.split('.').map(Number);
  // In a URL an address has no part that is written as one of IPv4.
  const { hostname } = new URL(`http://[${address}]`);
  const [before, after] = hostname
    .slice(1, -1)
    .split('::')
    .map((half) => half.split(':').filter(Boolean)) as [string[], string[]?];
  const zeros = Array.from({ length: 8 - before.length - (after?.length ?? 0) }, () => '0');
  return [...before, ...zeros, ...(after ?? [])]
    .map((group) => Number.parseInt(group, 16))
    .flatMap((group) => [group >> 8, group & 0xff]);
}

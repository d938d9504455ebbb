import { isIP } from 'node:net';

/**
 * A TCP address or a Unix socket. As a remote listener, `host` is the text sent to the server (RFC 4254 section 7.1):
 * `localhost` unless the user wrote another, `''` for all addresses; port 0 lets the server choose.
 */
export type Endpoint = TcpEndpoint | { readonly type: 'unix'; readonly path: string };

export interface TcpEndpoint {
  readonly type: 'tcp';
  readonly host: string;
  readonly port: number;
}

/** The target of a forward whose visitors name the target themselves, by SOCKS. */
export interface SocksTarget {
  readonly type: 'socks';
}

/** An endpoint as people write it: `localhost:8080`, `[::1]:80`, `*:8080`, `/run/a.sock`, `socks`. */
export function formatEndpoint(endpoint: Endpoint | SocksTarget): string {
  if (endpoint.type === 'socks') return 'socks';
  if (endpoint.type === 'unix') return endpoint.path;
  return formatAddress(endpoint);
}

/** The same for a host and a port. */
export function formatAddress({ host, port }: Pick<TcpEndpoint, 'host' | 'port'>): string {
  return `${bracketed(host) || '*'}:${port}`;
}

/** A host as it is written before a port. */
export function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

/** Whether two endpoints are written alike; host names in any case. Port 0 equals port 0, though the server chooses another each time. */
export function sameEndpoint(a: Endpoint, b: Endpoint): boolean {
  if (a.type === 'unix' || b.type === 'unix') return a.type === 'unix' && b.type === 'unix' && a.path === b.path;
  return a.port === b.port && a.host.toLowerCase() === b.host.toLowerCase();
}

/** Whether it is an address of the loopback network (RFC 1122 section 3.2.1.3, RFC 4291 section 2.5.3), also one of IPv4 in IPv6. */
export function isLoopbackAddress(address: string): boolean {
  return address === '::1' || (/^(?:::ffff:)?127\./i.test(address) && isIP(address) !== 0);
}

/** Whether a host, by name or by address, is the machine itself. */
export function isLoopbackHost(host: string): boolean {
  return host.toLowerCase() === 'localhost' || isLoopbackAddress(host);
}

/** Whether only this device reaches a listener. */
export function isForThisDevice(listen: Endpoint): boolean {
  return listen.type === 'unix' || isLoopbackHost(listen.host);
}

/** Whether sshd binds it without GatewayPorts: these three texts and no other (channel_fwd_bind_addr in OpenSSH's channels.c). */
export function isLoopbackListener({ host }: TcpEndpoint): boolean {
  return ['localhost', '127.0.0.1', '::1'].includes(host.toLowerCase());
}

/** Whether a listener's host stands for all addresses, of both families or of one: nothing can be connected to by that name. */
export function isWildcardHost(host: string): boolean {
  return ['', '*', '0.0.0.0', '::'].includes(host);
}

/** The addresses that this device binds for a listener's host, the indispensable one first. */
export function bindAddresses(host: string): readonly string[] {
  if (host === 'localhost') return ['127.0.0.1', '::1'];
  return host === '' ? ['0.0.0.0', '::'] : [host];
}

/**
 * An address of loopback (Linux has a whole network of them) that sshd never binds for `localhost` or 127.0.0.1: a listener that answers
 * there is bound to all addresses.
 */
export const WILDCARD_PROBE_HOST = '127.0.0.2';

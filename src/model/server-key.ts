import { BlockList, isIP } from 'node:net';
import { isLoopbackHost, formatAddress } from './endpoint.ts';
import type { TunnelSpec } from './spec.ts';
import { formatServer } from './state.ts';

type Reached = Pick<TunnelSpec, 'host' | 'port' | 'jumps' | 'entry'>;

/** A text that distinguishes servers: those of two tunnels are equal where they reach the same machine and port. */
export function serverKey(spec: Reached): string {
  return `${formatAddress({ host: spec.host.toLowerCase(), port: spec.port })}${wayOf(spec)}`;
}

/** The same with the user. */
export function loginKey(spec: Reached & Pick<TunnelSpec, 'user'>): string {
  return `${formatServer(spec)}${wayOf(spec)}`;
}

/** Empty where the host means the same machine wherever it is asked for: `localhost` behind two jumps is two machines. */
function wayOf({ host, jumps, entry }: Reached): string {
  const first =
    entry.type === 'direct'
      ? []
      : [entry.type === 'command' ? entry.command : `${entry.type}://${entry.host}:${entry.port}`];
  const way = [...first, ...jumps.map(formatAddress)];
  return way.length === 0 || !isLocal(host) ? '' : ` via ${way.join(', ')}`;
}

/** Whether what a host means depends on the network where it is asked for. */
function isLocal(host: string): boolean {
  const version = isIP(host);
  if (version !== 0)
    return isLoopbackHost(host) || PRIVATE.check(host.replace(/%.*/s, ''), version === 4 ? 'ipv4' : 'ipv6');
  return !host.includes('.') || /\.(?:local|lan|internal|home\.arpa)\.?$/i.test(host);
}

/** RFC 1918, 3927, 4193, 4291 and 6598. */
const PRIVATE = new BlockList();
for (const [network, bits] of [
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
] as const)
  PRIVATE.addSubnet(network, bits, 'ipv4');
PRIVATE.addSubnet('fc00::', 7, 'ipv6');
PRIVATE.addSubnet('fe80::', 10, 'ipv6');

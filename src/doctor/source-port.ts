import type { StepResult, SourcePortFacts } from './types.ts';
import { BlockList, isIPv6 } from 'node:net';
import { networkInterfaces } from 'node:os';
import { systemLookup } from '../net/addresses/resolve-host.ts';
import { firstHop } from '../net/first-hop.ts';
import { EVICTED_AT_ONCE_S } from '../net/source-ports.ts';
import type { TunnelSpec } from '../model/spec.ts';

/** Adds to the facts of the state file whether the first machine on the route is in a network of this device. */
export async function readSourcePortFacts(
  spec: TunnelSpec,
  remembered: Omit<SourcePortFacts, 'sameNetwork'>,
  networks: readonly string[] = ownNetworks(),
): Promise<SourcePortFacts> {
  const { host } = firstHop(spec);
  const found = spec.entry.type === 'command' ? [] : await systemLookup(host, 0).catch(() => []);
  return { ...remembered, sameNetwork: found.length > 0 && found.every(({ address }) => isIn(address, networks)) };
}

/**
 * Whether the server lets go of a dead connection of ours at once, for which each new one must reach it from the same port. SSH does not
 * show a client which port that is; so this is from past evictions, or from the absence of a router.
 */
export function sourcePortStep(
  { sourcePort, entry }: Pick<TunnelSpec, 'sourcePort' | 'entry'>,
  { port, eviction, sameNetwork, readable }: SourcePortFacts,
  inUse = false,
): StepResult {
  if (entry.type === 'command') return ['source port', 'ok', 'the proxyCommand has a connection of its own'];
  if (sourcePort === 'any') {
    return [
      'source port',
      'warn',
      'the system chooses it (sourcePort: any)',
      'With sourcePort: sticky a server lets go of a dead connection of ours at once.',
    ];
  }
  const same = port === null ? 'the same one each time' : `${port} each time`;
  if (inUse) {
    const why = 'a listener is in use: if that is a dead connection of ours, a router on the way changes source ports';
    return ['source port', 'warn', `${same}; ${why}`, ALIVE_CURE];
  }
  if (eviction !== null) {
    const { day, seconds } = eviction;
    const seen = `${same}; on ${day} the server let go of a dead connection of ours after ${seconds} s`;
    if (seconds <= EVICTED_AT_ONCE_S) return ['source port', 'ok', seen];
    return ['source port', 'warn', `${seen}: a router on the way may change source ports`, ALIVE_CURE];
  }
  if (sameNetwork) return ['source port', 'ok', `${same}; no router is on the way that could change it`];
  const why = readable ? 'no dead connection has been in the way yet' : 'the state file of source ports cannot be read';
  return [
    'source port',
    'skip',
    `${same}; whether a router on the way changes it is not known: a client cannot see that, and ${why}`,
  ];
}

/** For a check that knows nothing of it. */
export const NO_FACTS: SourcePortFacts = { port: null, eviction: null, readable: true, sameNetwork: false };

const ALIVE_CURE =
  'On the server: ClientAliveInterval 15 and ClientAliveCountMax 3 (`tunneld server-setup` sets them).';

/** In CIDR notation. */
function ownNetworks(): readonly string[] {
  return Object.values(networkInterfaces()).flatMap((addresses = []) => addresses.flatMap(({ cidr }) => cidr ?? []));
}

function isIn(address: string, networks: readonly string[]): boolean {
  const family = (text: string) => (isIPv6(text) ? 'ipv6' : 'ipv4');
  const list = new BlockList();
  for (const network of networks) {
    const [base = '', bits = ''] = network.split('/');
    list.addSubnet(base, Number(bits), family(base));
  }
  return list.check(address, family(address));
}

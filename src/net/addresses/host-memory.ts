import { putNewest } from '../../lib/maps.ts';

/** What the process remembers of the addresses of hosts. */
export interface HostMemory {
  /** The addresses in the order in which they should be tried: the one that answered last first, then the families alternately. */
  ordered(host: string, addresses: readonly string[]): readonly string[];
  /** The addresses that the name resolved to last. */
  last(host: string): readonly string[];
  /** This address answered after so many milliseconds. */
  answered(host: string, address: string, ms: number): void;
  /** How long to wait for one address before the next is tried beside it. */
  patience(host: string): number;
}

export function createHostMemory(): HostMemory {
  const hosts = new Map<string, HostRecord>();
  const recordOf = (host: string): HostRecord => hosts.get(host) ?? { addresses: [], winner: null, tookMs: 0 };
  const remember = (host: string, change: Partial<HostRecord>) =>
    putNewest(hosts, host, { ...recordOf(host), ...change }, MAX_HOSTS);
  return {
    ordered: (host, addresses) => {
      remember(host, { addresses });
      const { winner } = recordOf(host);
      const order = interleaved(addresses);
      return winner !== null && order.includes(winner) ? [winner, ...order.filter((one) => one !== winner)] : order;
    },
    last: (host) => recordOf(host).addresses,
    answered: (host, address, ms) => remember(host, { winner: address, tookMs: ms }),
    patience: (host) => Math.min(Math.max(STAGGER_MS, 2 * recordOf(host).tookMs), LONGEST_STAGGER_MS),
  };
}

interface HostRecord {
  readonly addresses: readonly string[];
  readonly winner: string | null;
  readonly tookMs: number;
}

/** Alternates the families, beginning with that of the first address (RFC 8305 section 4). */
export function interleaved(addresses: readonly string[]): readonly string[] {
  const isSix = (address: string) => address.includes(':');
  const [first] = addresses;
  if (first === undefined) return [];
  const same = addresses.filter((address) => isSix(address) === isSix(first));
  const other = addresses.filter((address) => isSix(address) !== isSix(first));
  return same.flatMap((address, index) => [address, ...other.slice(index, index + 1)]).concat(other.slice(same.length));
}

/** RFC 8305 sections 5 and 8: 250 ms, more where answers are known to take longer, at most two seconds. */
const STAGGER_MS = 250;
const LONGEST_STAGGER_MS = 2000;

const MAX_HOSTS = 1000;

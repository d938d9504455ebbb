import type { Lookup } from './resolve-host.ts';
import { putNewest } from '../../lib/maps.ts';

/** Where names led to a moment ago. A look-up asks in a thread, reads files, and may ask the network: a visitor is not to wait for it each time. */
export interface RecentAddresses {
  /** The addresses of a name, one of which has just answered; null where that is too long ago. `now` is monotonic milliseconds. */
  of(lookup: Lookup, name: string, now: number): readonly string[] | null;
  answered(lookup: Lookup, name: string, addresses: readonly string[], now: number): void;
}

export function createRecentAddresses(): RecentAddresses {
  /** What one look-up has found says nothing of another's. */
  const byLookup = new WeakMap<
    Lookup,
    Map<string, { readonly addresses: readonly string[]; readonly until: number }>
  >();
  return {
    of: (lookup, name, now) => {
      const found = byLookup.get(lookup)?.get(name);
      return found === undefined || now >= found.until ? null : found.addresses;
    },
    answered: (lookup, name, addresses, now) => {
      const names = byLookup.get(lookup) ?? new Map();
      byLookup.set(lookup, names);
      putNewest(names, name, { addresses, until: now + RECENT_MS }, MOST_NAMES);
    },
  };
}

/** Less than any record's time to live that is meant. */
const RECENT_MS = 10_000;

/** The visitors of a SOCKS proxy name as many as they like. */
const MOST_NAMES = 100;

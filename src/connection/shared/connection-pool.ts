import type { Member, Share, SharedConnection } from './shared-connection.ts';

/** The connections of this process that take in tunnels with the very same login (see loginOf). */
export interface ConnectionPool {
  /** Whether one with this login takes one more tunnel. */
  has(login: string): boolean;
  /** A share of the one that carries the fewest; null where none takes it. */
  join(login: string, member: Member): Share | null;
  /** Offers a connection that is logged in; the answer takes it back. */
  offer(login: string, connection: SharedConnection): () => void;
  /** Calls `listener` when one with this login is offered; the answer ends that. */
  onOffer(login: string, listener: () => void): () => void;
  /** Takes back all that are offered: whoever wants a fresh connection gets none of these. */
  retire(): void;
}

export function createConnectionPool(): ConnectionPool {
  const offered = createSets<SharedConnection>();
  const listeners = createSets<() => void>();
  const best = (login: string): SharedConnection | null => {
    const open = [...offered.of(login)].filter((connection) => connection.takesMore());
    return open.toSorted((a, b) => a.size() - b.size())[0] ?? null;
  };
  return {
    has: (login) => best(login) !== null,
    join: (login, member) => best(login)?.join(member) ?? null,
    offer: (login, connection) => {
      const withdraw = offered.add(login, connection);
      for (const listener of listeners.of(login)) listener();
      return withdraw;
    },
    onOffer: listeners.add,
    retire: offered.clear,
  };
}

/** Sets by name; one that is empty is forgotten. */
function createSets<T>() {
  const sets = new Map<string, Set<T>>();
  return {
    of: (name: string): Iterable<T> => sets.get(name) ?? [],
    add: (name: string, value: T): (() => void) => {
      const set = sets.get(name) ?? new Set<T>();
      sets.set(name, set.add(value));
      return () => {
        set.delete(value);
        if (set.size === 0 && sets.get(name) === set) sets.delete(name);
      };
    },
    clear: () => sets.clear(),
  };
}

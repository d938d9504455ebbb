import type { Member, Share, SharedConnection } from './shared-connection.ts';

/** The connections of this process that tunnels with the very same login can share (see loginOf). */
export interface ConnectionPool {
  /** Whether a connection with this login takes one more tunnel. */
  has(login: string): boolean;
  /** A share of the connection that carries the fewest tunnels; null where none takes it. */
  join(login: string, member: Member): Share | null;
  /** Offers a logged-in connection; the result withdraws it. */
  offer(login: string, connection: SharedConnection): () => void;
  /** Calls `listener` when a connection with this login is offered; the result unsubscribes. */
  onOffer(login: string, listener: () => void): () => void;
  /** Withdraws all offers: a tunnel that wants a fresh connection gets none of these. */
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

/** Sets by name; empty ones are removed. */
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

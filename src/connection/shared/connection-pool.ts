import type { Clock } from '../../lib/async/clock.ts';
import type { Member, Share, SharedConnection } from './shared-connection.ts';

export type ConnectionPool = ReturnType<typeof createConnectionPool>;

export interface JoinedShare extends Share {
  /**
   * Whether the connection ended no later than `by`, in the clock's milliseconds, while others with the same login went on: those of a
   * server or a path that goes away end one after the other. That is known a few seconds after the end.
   */
  endedAlone(by: number): boolean;
}

/** The connections of this process that tunnels with the very same login can share (see loginOf). */
export function createConnectionPool(clock: Pick<Clock, 'now'>) {
  const offered = createSets<SharedConnection>();
  const ends = createEnds(clock);
  const listeners = createSets<() => void>();
  const best = (login: string): SharedConnection | null => {
    const open = [...offered.of(login)].filter((connection) => connection.takesMore());
    return open.toSorted((a, b) => a.size() - b.size())[0] ?? null;
  };
  return {
    /** Whether a connection with this login takes one more tunnel. */
    has: (login: string): boolean => best(login) !== null,
    /** A share of the connection that carries the fewest tunnels; null where none takes it. */
    join: (login: string, member: Member): JoinedShare | null => {
      const connection = best(login);
      if (connection === null) return null;
      const endedAlone = (by: number) => {
        const end = ends.of(connection);
        return end !== null && end.at <= by && end.alone;
      };
      return { ...connection.join(member), endedAlone };
    },
    /** Offers a logged-in connection; the result withdraws it. */
    offer: (login: string, connection: SharedConnection): (() => void) => {
      const withdraw = offered.add(login, connection);
      for (const listener of listeners.of(login)) listener();
      return () => {
        withdraw();
        ends.add(login, connection);
      };
    },
    /** Calls a listener when a connection with this login is offered; the result unsubscribes. */
    onOffer: listeners.add,
    /** Withdraws all offers: a tunnel that wants a fresh connection gets none of these. */
    retire: offered.clear,
  };
}

interface End {
  readonly at: number;
  alone: boolean;
}

/** When connections ended, and whether others with the same login ended soon before or after. */
function createEnds(clock: Pick<Clock, 'now'>) {
  const ends = new WeakMap<SharedConnection, End>();
  const last = new Map<string, End>();
  return {
    of: (connection: SharedConnection): End | null => ends.get(connection) ?? null,
    add: (login: string, connection: SharedConnection): void => {
      const at = clock.now();
      for (const [name, end] of last) if (at - end.at > TOGETHER_MS) last.delete(name);
      const before = last.get(login);
      if (before !== undefined) before.alone = false;
      const end = { at, alone: before === undefined };
      ends.set(connection, end);
      last.set(login, end);
    },
  };
}

/** On a busy machine the connections of a server that goes away end over a second. */
const TOGETHER_MS = 2000;

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

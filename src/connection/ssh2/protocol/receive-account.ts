/** Bounds the data of all connections of a process that waits for slow visitors and targets. */
export interface ReceiveAccount {
  join(connection: Connection): Membership;
}

/** A connection of an account. */
interface Connection {
  /** Its bytes that are not read yet. */
  unread(): number;
  /** It keeps more than any other, and there is no room: it has to end. */
  leave(bytes: number): void;
}

interface Membership {
  /**
   * How many bytes of windows it may grant in all: half of what the others leave, so that something is left for every
   * other.
   */
  room(): number;
  /** It has granted so many bytes. */
  hold(bytes: number): void;
  /** So many bytes wait unread, or perhaps fewer. */
  wait(bytes: number): void;
  /** It has ended, and keeps nothing. */
  end(): void;
}

export interface AccountLimits {
  /** The sum of the windows, in bytes: half of it is for the first connection that needs it. */
  readonly windows: number;
  /** How many bytes may wait unread in all; above that the connection with the most is ended. */
  readonly unread: number;
}

/** An account with its own limits, independent of others. */
export function createReceiveAccount(limits: AccountLimits): ReceiveAccount {
  const members = new Map<Connection, Drawn>();
  const total: Drawn = { held: 0, waiting: 0 };
  const hold = (drawn: Drawn, bytes: number) => {
    total.held += bytes - drawn.held;
    drawn.held = bytes;
  };
  const wait = (drawn: Drawn, bytes: number) => {
    total.waiting += bytes - drawn.waiting;
    drawn.waiting = bytes;
  };
  const end = (connection: Connection) => {
    const drawn = members.get(connection);
    if (drawn === undefined) return;
    members.delete(connection);
    hold(drawn, 0);
    wait(drawn, 0);
  };
  const makeRoom = () => {
    for (const [connection, drawn] of members) wait(drawn, connection.unread());
    while (total.waiting > limits.unread) {
      const [worst, drawn] = [...members].reduce((one, other) => (other[1].waiting > one[1].waiting ? other : one));
      const bytes = drawn.waiting;
      end(worst);
      worst.leave(bytes);
    }
  };
  return {
    join: (connection) => {
      const drawn: Drawn = { held: 0, waiting: 0 };
      members.set(connection, drawn);
      return {
        room: () => Math.max(0, limits.windows - (total.held - drawn.held)) / 2,
        hold: (bytes) => {
          if (members.has(connection)) hold(drawn, bytes);
        },
        wait: (bytes) => {
          if (!members.has(connection)) return;
          wait(drawn, bytes);
          if (total.waiting > limits.unread) makeRoom();
        },
        end: () => end(connection),
      };
    },
  };
}

interface Drawn {
  held: number;
  waiting: number;
}

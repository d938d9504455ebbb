/** What all connections of a process may make it keep for visitors and targets that do not read. */
export interface ReceiveAccount {
  join(connection: Connection): Membership;
}

/** One of those that draw from an account. */
interface Connection {
  /** Bytes that it has sent and nobody has read. */
  unread(): number;
  /** It keeps more than any other, and there is no room: it has to go. */
  leave(bytes: number): void;
}

interface Membership {
  /** How many bytes of windows it may have out in all: half of what the others leave, so that something is left for every other. */
  room(): number;
  /** It has so many out now. */
  hold(bytes: number): void;
  /** As many wait unread as far as it knows: perhaps fewer. */
  wait(bytes: number): void;
  /** It is over, and keeps nothing. */
  end(): void;
}

export interface AccountLimits {
  /** The sum of the windows, in bytes: half of it is for the first connection that wants it. */
  readonly windows: number;
  /** What may wait unread in all, in bytes; above it the worst connection is left. */
  readonly unread: number;
}

/** An account of its own rules: two accounts know nothing of each other. */
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

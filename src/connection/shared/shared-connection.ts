import { deferred } from '../../lib/async/abort.ts';
import { waitAtMost } from '../../lib/async/wait-at-most.ts';
import { TunnelFailure } from '../../model/failure.ts';
import { type Endpoint, formatEndpoint, type ServerSpec } from '../../model/spec.ts';
import type { Route } from '../route/route.ts';
import type { Channel, SshConnection, Visitor } from '../ssh/connection.ts';
import { watchConnection, type WatchDeps } from '../ssh/keepalive.ts';

/**
 * One logged-in connection and the tunnels that it carries: one, as long as nothing keeps the others from connections of their own. It
 * ends for all of them when it is lost, and with the last one that leaves. One that leaves gives its own listeners back and closes its
 * own channels.
 */
export interface SharedConnection {
  /** How many tunnels it carries. */
  size(): number;
  /** Whether it takes one more: not at a server that keeps listeners, in doubt about its life, after its end, or when it carries many. */
  takesIn(): boolean;
  join(member: Member): Share;
  /** A visitor of any of its listeners. */
  receive(visitor: Visitor): void;
}

/** A tunnel as its connection knows it. */
export interface Member extends Pick<WatchDeps, 'heartbeat' | 'state' | 'report'> {
  readonly name: string;
  /** One that came to a listener of this tunnel. */
  receive(visitor: Visitor): void;
}

/** What one tunnel has of a connection. */
export interface Share {
  /** The whole of it, but that listeners and channels are this tunnel's, and that closing it is to leave. */
  readonly connection: SshConnection;
  /** The tunnel that opened it. */
  readonly openedBy: string;
  /** See TunnelState. */
  readonly login: string | null;
  /** Those of these local ports from which no tunnel of this connection has dialled yet to end dead connections. */
  notYetEvicted(ports: readonly number[]): readonly number[];
  /** What this tunnel met shows that the connection is of no use: ends it for all. */
  fail(failure: TunnelFailure): void;
  /** Gives this tunnel's listeners back; resolves when the server has heard it, or did not answer soon. */
  giveBack(): Promise<void>;
  /** Leaves; the last one says goodbye, in bounded time, where `politely`. May be called often. */
  leave(politely: boolean): Promise<void>;
  /** Resolves when nothing is left of a connection that is over; at once where it goes on. */
  gone(): Promise<void>;
}

interface Opened {
  readonly connection: SshConnection;
  readonly route: Pick<Route, 'lost' | 'answers' | 'close' | 'destroy'>;
  readonly spec: Pick<ServerSpec, 'serverAliveIntervalMs' | 'serverAliveCountMax'>;
  /** The tunnel's name. */
  readonly openedBy: string;
  readonly login: string | null;
}

interface SharedDeps extends Pick<WatchDeps, 'clock' | 'device'> {
  /** It is over; called once, at once. */
  onOver(): void;
}

/** Takes over a connection and the way below it. It ends only with what is lost, or with the last member. */
export function shareConnection(opened: Opened, deps: SharedDeps): SharedConnection {
  return new Carrier(opened, deps);
}

class Carrier implements SharedConnection {
  readonly #opened: Opened;
  readonly #deps: SharedDeps;
  readonly #seats = new Set<Seat>();
  readonly #listeners = new Map<string, Granted>();
  readonly #evicted = new Set<number>();
  readonly #lost = deferred<never>();
  readonly #watch = new AbortController();
  #inDoubt = false;
  #ending: Promise<void> | null = null;
  #gone: Promise<void> = Promise.resolve();

  constructor(opened: Opened, deps: SharedDeps) {
    this.#opened = opened;
    this.#deps = deps;
    const { connection, route } = opened;
    Promise.race([connection.lost, route.lost, this.#watching()]).catch((reason: unknown) => this.#fail(reason));
  }

  size(): number {
    return this.#seats.size;
  }

  takesIn(): boolean {
    const { serverVersion, transport } = this.#opened.connection;
    return (
      GIVES_LISTENERS_BACK.test(serverVersion) &&
      this.#ending === null &&
      !this.#inDoubt &&
      this.#seats.size < MAX_MEMBERS &&
      !transport.lost()
    );
  }

  join(member: Member): Share {
    const seat: Seat = { member, left: false, channels: new Set(), waiting: new Set() };
    this.#seats.add(seat);
    const { openedBy, login } = this.#opened;
    return {
      openedBy,
      login,
      connection: this.#connectionOf(seat),
      notYetEvicted: (ports) => {
        const fresh = ports.filter((port) => !this.#evicted.has(port));
        for (const port of fresh) this.#evicted.add(port);
        return fresh;
      },
      fail: (failure) => {
        if (!seat.left) this.#fail(failure);
      },
      giveBack: () => waitAtMost(this.#cancelAll(seat), UNLISTEN_MS, this.#deps.clock),
      leave: (politely) => this.#leave(seat, politely),
      gone: () => this.#gone,
    };
  }

  receive(visitor: Visitor): void {
    const seat = this.#seatOf(visitor);
    if (seat !== undefined) return hand(visitor, seat);
    // The grant of a port that the server chose, and its first visitor, may come in one packet: the grant is known a turn later.
    setImmediate(() => {
      const late = this.#seatOf(visitor) ?? firstOf(this.#seats);
      if (late === undefined) visitor.reject();
      else hand(visitor, late);
    });
  }

  #watching(): Promise<never> {
    const { connection, spec, route } = this.#opened;
    return watchConnection(
      connection,
      spec,
      {
        ...this.#deps,
        answers: route.answers,
        heartbeat: (withinMs) => this.#seats.forEach(({ member }) => member.heartbeat(withinMs)),
        // What one knows of it all know.
        state: () => firstOf(this.#seats)?.member.state() ?? { rttMs: null, silentSince: null },
        report: (change) => {
          if (change.silentSince !== undefined) this.#inDoubt = change.silentSince !== null;
          for (const { member } of this.#seats) member.report(change);
        },
      },
      this.#watch.signal,
    );
  }

  #fail(reason: unknown): void {
    this.#lost.reject(reason);
    void this.#end(false);
  }

  #end(politely: boolean): Promise<void> {
    this.#ending ??= this.#endNow(politely);
    return this.#ending;
  }

  async #endNow(politely: boolean): Promise<void> {
    const { connection, route } = this.#opened;
    this.#deps.onOver();
    this.#watch.abort(new TunnelFailure('disconnected', 'the session is over'));
    const goodbye = async () => {
      await connection.close();
      await route.close();
    };
    if (politely) await waitAtMost(goodbye(), GOODBYE_MS, this.#deps.clock);
    connection.destroy();
    this.#gone = route.destroy();
  }

  /** The server's only way to say whose visitor it is, is the listener. */
  #seatOf({ listen }: Visitor): Seat | undefined {
    const alone = this.#seats.size === 1 ? firstOf(this.#seats) : undefined;
    return this.#listeners.get(formatEndpoint(listen))?.seat ?? alone;
  }

  async #leave(seat: Seat, politely: boolean): Promise<void> {
    if (seat.left) return;
    seat.left = true;
    this.#seats.delete(seat);
    if (this.#ending !== null) return this.#ending;
    if (this.#seats.size === 0) return this.#end(politely);
    this.#cancelAll(seat).catch(() => {});
    release(seat);
  }

  /** Once for each: some servers end the connection of who cancels what is not there. */
  async #cancel(granted: Granted): Promise<void> {
    if (granted.cancelled) return;
    granted.cancelled = true;
    await this.#opened.connection.unlisten(granted.listen);
    const key = formatEndpoint(granted.listen);
    if (this.#listeners.get(key) === granted) this.#listeners.delete(key);
  }

  async #cancelAll(seat: Seat): Promise<void> {
    const own = [...this.#listeners.values()].filter((granted) => granted.seat === seat);
    await Promise.all(own.map((granted) => this.#cancel(granted)));
  }

  /** The connection as this tunnel may use it. */
  #connectionOf(seat: Seat): SshConnection {
    const { connection } = this.#opened;
    const { transport } = connection;
    return {
      ...connection,
      lost: this.#lost.promise,
      // To a visitor of one that has left it is as if the connection were gone.
      transport: { ...transport, lost: () => seat.left || transport.lost() },
      listen: (endpoint) => this.#listen(endpoint, seat),
      unlisten: async (endpoint) => {
        const granted = this.#listeners.get(formatEndpoint(endpoint));
        // Another tunnel of this connection may have it by now.
        if (granted?.seat === seat) await this.#cancel(granted);
      },
      open: async (endpoint, originator) => keep(seat, await connection.open(endpoint, originator)),
      close: () => this.#leave(seat, true),
      destroy: () => void this.#leave(seat, false),
    };
  }

  async #listen(endpoint: Endpoint, seat: Seat): Promise<number> {
    const { connection } = this.#opened;
    const port = await connection.listen(endpoint);
    const granted = endpoint.type === 'tcp' ? { ...endpoint, port } : endpoint;
    if (seat.left) {
      connection.unlisten(granted).catch(() => {});
      throw new TunnelFailure('disconnected', 'the session is over');
    }
    this.#listeners.set(formatEndpoint(granted), { seat, listen: granted, cancelled: false });
    return port;
  }
}

/** Dropbear finds no listener that it is to cancel (matchtcp in svr-tcpfwd.c), and of others it is not known. */
const GIVES_LISTENERS_BACK = /^(?:OpenSSH|AsyncSSH)/;

/** A failure of one connection is one of all that it carries. */
const MAX_MEMBERS = 100;

const UNLISTEN_MS = 500;
const GOODBYE_MS = 700;

interface Seat {
  readonly member: Member;
  left: boolean;
  readonly channels: Set<Channel>;
  /** Visitors who are not answered yet. */
  readonly waiting: Set<Visitor>;
}

/** A listener that the server has granted to one of the tunnels. */
interface Granted {
  readonly seat: Seat;
  readonly listen: Endpoint;
  cancelled: boolean;
}

/** Closes what a tunnel has of a connection that goes on without it. */
function release({ channels, waiting }: Seat): void {
  for (const visitor of waiting) visitor.reject();
  for (const channel of channels) close(channel);
}

function hand(visitor: Visitor, seat: Seat): void {
  // The server has not heard yet that its listener was given back.
  if (seat.left) return visitor.reject();
  seat.waiting.add(visitor);
  seat.member.receive({
    ...visitor,
    accept: () => {
      seat.waiting.delete(visitor);
      if (seat.left) throw new TunnelFailure('disconnected', 'the session is over');
      return keep(seat, visitor.accept());
    },
    reject: () => {
      seat.waiting.delete(visitor);
      if (!seat.left) visitor.reject();
    },
    gone: () => seat.left || visitor.gone?.() === true,
  });
}

function keep(seat: Seat, channel: Channel): Channel {
  if (seat.left) {
    close(channel);
    throw new TunnelFailure('disconnected', 'the session is over');
  }
  seat.channels.add(channel);
  channel.once('close', () => seat.channels.delete(channel));
  return channel;
}

/** One that nobody reads would never be closed. */
function close(channel: Channel): void {
  channel.on('error', () => {});
  channel.resume();
  channel.close();
}

function firstOf<T>(set: ReadonlySet<T>): T | undefined {
  const [first] = set;
  return first;
}

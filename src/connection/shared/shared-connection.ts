import type { CertificateFacts } from '../../model/certificate.ts';
import { deferred } from '../../lib/async/abort.ts';
import { waitAtMost } from '../../lib/async/wait-at-most.ts';
import { TunnelFailure } from '../../model/failure.ts';
import { type Endpoint, formatEndpoint } from '../../model/endpoint.ts';
import type { ServerSpec } from '../../model/spec.ts';
import type { Route } from '../route/route.ts';
import type { Channel, SshConnection, Visitor } from '../ssh/connection.ts';
import { runKeepalive, type KeepaliveDeps } from '../ssh/keepalive.ts';
import { discard } from '../ssh/discard.ts';
import { createSlots, type Slots } from '../../lib/slots.ts';
import { waitFor, untilOneFails } from '../../lib/async/scope.ts';

/** A tunnel that a connection carries. */
export interface Member extends Pick<KeepaliveDeps, 'heartbeat' | 'state' | 'report'> {
  readonly name: string;
  /** A visitor has come to a listener of this tunnel. */
  onVisitor(visitor: Visitor): void;
}

/** A tunnel's share of a connection. */
export interface Share {
  /** The whole connection, except that listeners and channels are this tunnel's, and that closing it is leaving it. */
  readonly connection: SshConnection;
  /** The tunnel that opened it. */
  readonly openedBy: string;
  /** See TunnelState. */
  readonly login: string | null;
  readonly certificate: CertificateFacts | null;
  /** Those of these local ports from which no tunnel of this connection has dialled yet to evict dead connections. */
  notYetEvicted(ports: readonly number[]): readonly number[];
  /** The tunnel has found the connection useless: ends it for all. */
  fail(failure: TunnelFailure): void;
  /** Cancels this tunnel's listeners; resolves when the server has confirmed that, or did not answer soon. */
  cancelListeners(): Promise<void>;
  /** Leaves the connection; the last tunnel closes it, in bounded time, where `gracefully`. May be called often. */
  leave(gracefully: boolean): Promise<void>;
  /** Resolves when nothing is left of a connection that has ended; at once where it goes on. */
  gone(): Promise<void>;
}

interface Opened extends Pick<Share, 'connection' | 'openedBy' | 'login' | 'certificate'> {
  readonly route: Pick<Route, 'lost' | 'probe' | 'close' | 'destroy'>;
  readonly spec: Pick<ServerSpec, 'serverAliveIntervalMs' | 'serverAliveCountMax'>;
}

interface SharedDeps extends Pick<KeepaliveDeps, 'clock' | 'device'> {
  /** Called once, as soon as the connection has ended. */
  onOver(): void;
}

/**
 * One logged-in connection, the route below it, and the tunnels that it carries: one, as long as nothing keeps the others from connections
 * of their own. It ends for all of them when it is lost, and with the last tunnel that leaves. A tunnel that leaves
 * cancels its own listeners and closes its own channels.
 */
export class SharedConnection {
  readonly #opened: Opened;
  readonly #deps: SharedDeps;
  readonly #memberships = new Set<Membership>();
  readonly #listeners = new Map<string, Granted>();
  readonly #evicted = new Set<number>();
  readonly #lost = deferred<never>();
  readonly #over = new AbortController();
  #inDoubt = false;
  #ending: Promise<void> | null = null;
  #gone: Promise<void> = Promise.resolve();

  constructor(opened: Opened, deps: SharedDeps) {
    this.#opened = opened;
    this.#deps = deps;
    const { connection, route } = opened;
    untilOneFails(this.#over.signal, [
      waitFor(connection.lost),
      waitFor(route.lost),
      (signal) => this.#runKeepalive(signal),
    ]).catch((reason: unknown) => this.#fail(reason));
  }

  /** How many tunnels it carries. */
  size(): number {
    return this.#memberships.size;
  }

  /**
   * Whether it takes one more tunnel: not where the server does not cancel listeners, in doubt about its life, after
   * its end, or when it carries many.
   */
  takesMore(): boolean {
    const { serverVersion, transport } = this.#opened.connection;
    return (
      CANCELS_LISTENERS.test(serverVersion) &&
      this.#ending === null &&
      !this.#inDoubt &&
      this.#memberships.size < MAX_MEMBERS &&
      !transport.lost()
    );
  }

  join(member: Member): Share {
    const membership: Membership = { member, left: false, channels: createSlots(), waiting: createSlots() };
    this.#memberships.add(membership);
    const { openedBy, login, certificate } = this.#opened;
    return {
      openedBy,
      login,
      certificate,
      connection: this.#connectionOf(membership),
      notYetEvicted: (ports) => {
        const fresh = ports.filter((port) => !this.#evicted.has(port));
        for (const port of fresh) this.#evicted.add(port);
        return fresh;
      },
      fail: (failure) => {
        if (!membership.left) this.#fail(failure);
      },
      cancelListeners: () => waitAtMost(this.#cancelAll(membership), UNLISTEN_MS, this.#deps.clock),
      leave: (gracefully) => this.#leave(membership, gracefully),
      gone: () => this.#gone,
    };
  }

  /** Takes a visitor of any of its listeners to its tunnel. */
  dispatch(visitor: Visitor): void {
    const membership = this.#membershipOf(visitor);
    if (membership !== undefined) return hand(visitor, membership);
    // The grant of a port that the server chose, and its first visitor, may come in one packet: the grant is known a
    // tick later.
    setImmediate(() => {
      const late = this.#membershipOf(visitor) ?? firstOf(this.#memberships);
      if (late === undefined) visitor.reject();
      else hand(visitor, late);
    });
  }

  #runKeepalive(signal: AbortSignal): Promise<never> {
    const { connection, spec, route } = this.#opened;
    return runKeepalive(
      connection,
      spec,
      {
        ...this.#deps,
        probe: route.probe,
        heartbeat: (withinMs) => this.#memberships.forEach(({ member }) => member.heartbeat(withinMs)),
        // All members have the same state of the connection.
        state: () => firstOf(this.#memberships)?.member.state() ?? { rttMs: null, silentSince: null },
        report: (change) => {
          if (change.silentSince !== undefined) this.#inDoubt = change.silentSince !== null;
          for (const { member } of this.#memberships) member.report(change);
        },
      },
      signal,
    );
  }

  #fail(reason: unknown): void {
    this.#lost.reject(reason);
    void this.#end(false);
  }

  #end(gracefully: boolean): Promise<void> {
    this.#ending ??= this.#endNow(gracefully);
    return this.#ending;
  }

  async #endNow(gracefully: boolean): Promise<void> {
    const { connection, route } = this.#opened;
    this.#deps.onOver();
    this.#over.abort(new TunnelFailure('disconnected', 'the session is over'));
    const goodbye = async () => {
      await connection.close();
      await route.close();
    };
    if (gracefully) await waitAtMost(goodbye(), GOODBYE_MS, this.#deps.clock);
    connection.destroy();
    this.#gone = route.destroy();
  }

  /** The listener is the server's only hint which tunnel a visitor belongs to. */
  #membershipOf({ listen }: Visitor): Membership | undefined {
    const alone = this.#memberships.size === 1 ? firstOf(this.#memberships) : undefined;
    return this.#listeners.get(formatEndpoint(listen))?.membership ?? alone;
  }

  async #leave(membership: Membership, gracefully: boolean): Promise<void> {
    if (membership.left) return;
    membership.left = true;
    this.#memberships.delete(membership);
    if (this.#ending !== null) return this.#ending;
    if (this.#memberships.size === 0) return this.#end(gracefully);
    // It fails only with the connection.
    this.#cancelAll(membership).catch(() => {});
    release(membership);
  }

  /** Once for each: some servers end the connection when a missing listener is cancelled. */
  async #cancel(granted: Granted): Promise<void> {
    if (granted.cancelled) return;
    granted.cancelled = true;
    await this.#opened.connection.unlisten(granted.listen);
    const key = formatEndpoint(granted.listen);
    if (this.#listeners.get(key) === granted) this.#listeners.delete(key);
  }

  async #cancelAll(membership: Membership): Promise<void> {
    const own = [...this.#listeners.values()].filter((granted) => granted.membership === membership);
    await Promise.all(own.map((granted) => this.#cancel(granted)));
  }

  /** The connection as this tunnel may use it. */
  #connectionOf(membership: Membership): SshConnection {
    const { connection } = this.#opened;
    const { transport } = connection;
    return {
      ...connection,
      lost: this.#lost.promise,
      // To a visitor of a tunnel that has left, the connection is lost.
      transport: { ...transport, lost: () => membership.left || transport.lost() },
      listen: (endpoint) => this.#listen(endpoint, membership),
      unlisten: async (endpoint) => {
        const granted = this.#listeners.get(formatEndpoint(endpoint));
        // Another tunnel of this connection may have the listener by now.
        if (granted?.membership === membership) await this.#cancel(granted);
      },
      open: async (endpoint, originator) => keep(membership, await connection.open(endpoint, originator)),
      close: () => this.#leave(membership, true),
      destroy: () => void this.#leave(membership, false),
    };
  }

  async #listen(endpoint: Endpoint, membership: Membership): Promise<number> {
    const { connection } = this.#opened;
    const port = await connection.listen(endpoint);
    const granted = endpoint.type === 'tcp' ? { ...endpoint, port } : endpoint;
    if (membership.left) {
      // It fails only with the connection.
      connection.unlisten(granted).catch(() => {});
      throw new TunnelFailure('disconnected', 'the session is over');
    }
    this.#listeners.set(formatEndpoint(granted), { membership, listen: granted, cancelled: false });
    return port;
  }
}

/** Dropbear does not find a listener to cancel (matchtcp in svr-tcpfwd.c); other servers are not known to. */
const CANCELS_LISTENERS = /^(?:OpenSSH|AsyncSSH)/;

/** A failure of one connection concerns all that it carries. */
const MAX_MEMBERS = 100;

const UNLISTEN_MS = 500;
const GOODBYE_MS = 700;

interface Membership {
  readonly member: Member;
  left: boolean;
  readonly channels: Slots<Channel>;
  /** Visitors that are not answered yet. */
  readonly waiting: Slots<Visitor>;
}

/** A listener that the server has granted to one of the tunnels. */
interface Granted {
  readonly membership: Membership;
  readonly listen: Endpoint;
  cancelled: boolean;
}

/** Closes a tunnel's part of a connection that goes on without it. */
function release({ channels, waiting }: Membership): void {
  for (const [, visitor] of waiting.entries()) visitor.reject();
  for (const [, channel] of channels.entries()) discard(channel);
}

function hand(visitor: Visitor, membership: Membership): void {
  // The server has not yet seen that the listener was cancelled.
  if (membership.left) return visitor.reject();
  const number = membership.waiting.add(visitor);
  const answered = () => membership.waiting.remove(number, visitor);
  membership.member.onVisitor({
    listen: visitor.listen,
    originator: visitor.originator,
    accept: () => {
      answered();
      if (membership.left) throw new TunnelFailure('disconnected', 'the session is over');
      return keep(membership, visitor.accept());
    },
    reject: () => {
      answered();
      if (!membership.left) visitor.reject();
    },
    hasLeft: () => membership.left || visitor.hasLeft?.() === true,
  });
}

function keep(membership: Membership, channel: Channel): Channel {
  if (membership.left) {
    discard(channel);
    throw new TunnelFailure('disconnected', 'the session is over');
  }
  const number = membership.channels.add(channel);
  channel.once('close', () => membership.channels.remove(number));
  return channel;
}

function firstOf<T>(set: ReadonlySet<T>): T | undefined {
  const [first] = set;
  return first;
}

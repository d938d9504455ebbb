import { isLoopbackAddress } from '../../model/endpoint.ts';
import { type Begun, begin, isForgettable, isLimited, nextAt, applyEvent, START } from './pace.ts';
import { type Clock, type Subscribe, untilCalled } from '../../lib/async/clock.ts';
import { createEmitter } from '../../lib/async/emitter.ts';
import { TunnelFailure } from '../../model/failure.ts';
import { createHostMemory, type HostMemory } from '../addresses/host-memory.ts';
import { type ConnectionEvent, eventOfDial, eventOfLogin } from './connection-event.ts';
import { type PaceRequest, type Pace } from './types.ts';
import { withSuspectedLimit } from './suspected-limit.ts';

/**
 * The path of a connection: the address it leads to, and the local address or interface where one is configured.
 * `behindProxy` identifies a server behind a proxy.
 */
export interface NetworkPath {
  readonly address: string;
  readonly port: number;
  readonly source: string | null;
  readonly behindProxy?: string | undefined;
}

/**
 * The budget: the new connections that this process may begin to each server, whatever they are for (ARCHITECTURE.md, invariant 4). Each
 * takes a turn: Pace says how many and when. Tunnels that were up before go first, then those that have waited longest. While a server is
 * away one tunnel dials for all, and its failure is theirs.
 */
export interface Turns {
  /**
   * Resolves when the connection may begin. Rejects with the failure that another connection met meanwhile, or with the
   * signal's reason. `onWait` gets the earliest time of the turn, as soon as that is known and at each change.
   */
  take(path: NetworkPath, request: TurnRequest, signal: AbortSignal, onWait?: (at: number) => void): Promise<Turn>;
  /** The earliest time at which it may begin, in the clock's milliseconds; infinity where that depends on others. */
  nextAt(path: NetworkPath, request: PaceRequest): number;
  /** Resolves when a new connection is answered there, if only by a refusal; rejects with the signal's reason. */
  untilAnswered(path: NetworkPath, signal: AbortSignal): Promise<void>;
  /** Calls `listener` when turns come sooner than nextAt() returned, because a limit was suspected wrongly; the result unsubscribes. */
  onSooner(listener: () => void): () => void;
  readonly hosts: HostMemory;
}

export interface TurnRequest extends PaceRequest {
  /** When the same tunnel last had a turn. */
  readonly since: number;
}

/**
 * One connection from the moment it may begin. Its events are to be reported, in this order, and its end in any case.
 */
export interface Turn {
  /** A limit is suspected: send no packet that can be spared. */
  readonly gentle: boolean;
  opened(): void;
  /** The connection did not open; returns the failure, with a suspected limit named. */
  failed(failure: TunnelFailure): TunnelFailure;
  accepted(): void;
  /** The connection opened and ended before its login; returns whether others of ours are accepted meanwhile. */
  notAccepted(failure: TunnelFailure): boolean;
  end(): void;
}

export interface TurnsOptions {
  readonly clock: Clock;
  readonly random: () => number;
  /** How many of our packets were refused by ICMP so far, as firewalls do; null where the system does not report it. */
  icmpRefusals(): number | null;
}

export function createTurns(options: TurnsOptions): Turns {
  return new ProcessTurns(options);
}

class ProcessTurns implements Turns {
  readonly hosts = createHostMemory();
  readonly #sooner = createEmitter();
  readonly #options: TurnsOptions;
  readonly #servers = new Map<string, Server>();

  constructor(options: TurnsOptions) {
    this.#options = options;
  }

  take(
    path: NetworkPath,
    request: TurnRequest,
    signal: AbortSignal,
    onWait: (at: number) => void = () => {},
  ): Promise<Turn> {
    const server = this.#serverOn(path);
    this.#dropStale(server);
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason as Error);
        return;
      }
      const leave = (finish: () => void) => () => {
        signal.removeEventListener('abort', onAbort);
        finish();
      };
      const onAbort = () => {
        // This makes no other turn come sooner.
        server.queue = server.queue.filter((other) => other !== waiter);
        if (server.queue.length === 0) server.cancel();
        reject(signal.reason as Error);
      };
      let reportedAt = Number.POSITIVE_INFINITY;
      const waiter: Waiter = {
        request,
        waitsUntil: (at) => {
          if (!Number.isFinite(at) || Math.abs(at - reportedAt) < REPORT_STEP_MS) return;
          reportedAt = at;
          onWait(at);
        },
        grant: leave(() => resolve(this.#start(server, request))),
        refuse: (failure) => leave(() => reject(failure))(),
      };
      signal.addEventListener('abort', onAbort, { once: true });
      server.queue.push(waiter);
      this.#schedule(server);
    });
  }

  nextAt(path: NetworkPath, request: PaceRequest): number {
    return nextAt(this.#jointPace(this.#serverOn(path)), request, this.#options.clock.now());
  }

  untilAnswered(path: NetworkPath, signal: AbortSignal): Promise<void> {
    const { listeners } = this.#serverOn(path);
    const answered: Subscribe = (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    };
    return untilCalled([answered], signal);
  }

  onSooner(listener: () => void): () => void {
    return this.#sooner.subscribe(listener);
  }

  #serverOn(path: NetworkPath): Server {
    const key = [path.address, path.port, path.source, path.behindProxy].join(' ');
    const known = this.#servers.get(key);
    if (known !== undefined) return known;
    const now = this.#options.clock.now();
    for (const [other, server] of this.#servers) if (isIdle(server, now)) this.#servers.delete(other);
    // On loopback each port may lead to another machine, and usual limits exempt the machine's own connections.
    const machine =
      isLoopbackAddress(path.address) || path.behindProxy !== undefined ? key : `${path.address} ${path.source}`;
    const server = {
      machine,
      pace: START,
      queue: [],
      underWay: new Map<Turn, number>(),
      listeners: new Set<() => void>(),
      cancel: () => {},
    };
    this.#servers.set(key, server);
    return server;
  }

  /** A firewall, and fail2ban, count connections to one machine, whatever the port. */
  #jointPace({ pace, machine }: Server): Pace {
    const neighbours = [...this.#servers.values()].filter((server) => server.machine === machine);
    const merged = (pick: (one: Pace) => readonly number[]) =>
      neighbours.flatMap((server) => pick(server.pace)).toSorted((a, b) => a - b);
    if (neighbours.length === 1) return pace;
    return { ...pace, begun: merged(({ begun }) => begun), rejected: merged(({ rejected }) => rejected) };
  }

  /** Grants the turns that are due, and sets a timer for the next. */
  #schedule(server: Server): void {
    const { clock } = this.#options;
    server.cancel();
    server.queue.sort((a, b) => rank(a.request) - rank(b.request) || a.request.since - b.request.since);
    for (;;) {
      const next = server.queue.findIndex(
        ({ request }) => nextAt(this.#jointPace(server), request, clock.now()) <= clock.now(),
      );
      if (next < 0) break;
      for (const { grant } of server.queue.splice(next, 1)) grant();
    }
    let earliest = Number.POSITIVE_INFINITY;
    let pace = this.#jointPace(server);
    for (const [index, waiter] of server.queue.entries()) {
      const at = nextAt(pace, waiter.request, clock.now());
      earliest = Math.min(earliest, at);
      waiter.waitsUntil(at);
      // The turns behind come after it; those far behind, not before these.
      if (index < FORESEEN && Number.isFinite(at)) pace = { ...pace, begun: [...pace.begun, at] };
    }
    if (Number.isFinite(earliest)) server.cancel = clock.timer(earliest - clock.now(), () => this.#schedule(server));
  }

  #change(server: Server, pace: Pace): void {
    const isSooner = pace.quietUntil < server.pace.quietUntil;
    server.pace = pace;
    for (const other of this.#servers.values()) if (other.machine === server.machine) this.#schedule(other);
    if (isSooner) this.#sooner.emit();
  }

  /** A turn whose end was never reported must not shut out the others for ever. */
  #dropStale({ underWay }: Server): void {
    for (const [turn, since] of underWay) if (since < this.#options.clock.now() - STALE_MS) turn.end();
  }

  #start(server: Server, { purpose, loginHistory }: PaceRequest): Turn {
    const begun = { at: this.#options.clock.now(), purpose, loginHistory };
    const turn = startTurn(server, begun, this.#options, (pace) => this.#change(server, pace));
    server.pace = begin(server.pace, begun);
    server.underWay.set(turn, begun.at);
    return turn;
  }
}

/** `change` is called with the pace after each event. */
function startTurn(
  server: Server,
  begun: Begun,
  { clock, random, icmpRefusals }: TurnsOptions,
  change: (pace: Pace) => void,
): Turn {
  let stage: 'dialling' | 'open' | 'in' | 'over' = 'dialling';
  const refusalsBefore = icmpRefusals();
  /** `shared` is the failure of all that wait for a login at this server. */
  const apply = (event: ConnectionEvent, next: 'open' | 'in' | 'over', shared: TunnelFailure | null = null) => {
    stage = next;
    if (next !== 'open') server.underWay.delete(turn);
    const pace = applyEvent(server.pace, event, begun, clock.now(), random);
    if (event === 'opened' || event === 'refused' || event === 'barred')
      for (const listener of server.listeners) listener();
    const isProbe = begun.purpose === 'probe';
    const waiting = shared === null || isProbe ? [] : server.queue.filter(({ request }) => request.purpose === 'login');
    server.queue = server.queue.filter((waiter) => !waiting.includes(waiter));
    change(pace);
    for (const { refuse } of waiting) refuse(shared!);
  };
  const turn: Turn = {
    gentle: isLimited(server.pace, clock.now()),
    opened: () => {
      if (stage === 'dialling') apply('opened', 'open');
    },
    failed: (failure) => {
      if (stage !== 'dialling') return failure;
      const event = eventOfDial(failure.code, refusalsBefore, icmpRefusals());
      const now = clock.now();
      const after = applyEvent(server.pace, event, begun, now, () => 0);
      const reported = isLimited(after, now) && event !== 'unsent' ? withSuspectedLimit(failure, event) : failure;
      apply(event, 'over', reported);
      return reported;
    },
    accepted: () => {
      if (stage === 'open') apply('accepted', 'in');
    },
    notAccepted: (failure) => {
      if (stage !== 'open') return false;
      const others = server.pace.established > 0;
      const event = eventOfLogin(failure.code);
      // Where others get in, the drop was chance.
      apply(event, 'over', event === 'dropped' && !others ? failure : null);
      return others;
    },
    end: () => {
      if (stage !== 'over') apply(stage === 'in' ? 'ended' : 'left', 'over');
    },
  };
  return turn;
}

/** How many turns of the queue are predicted one by one: more than any usual limit accepts at a time. */
const FORESEEN = 8;

/** A smaller change of the expected time is not reported. */
const REPORT_STEP_MS = 500;

/** Longer than any attempt takes that works; a waiting one asks every ten seconds. */
const STALE_MS = 2 * 3_600_000;

interface Server {
  /** Identifies what is behind one firewall. */
  readonly machine: string;
  pace: Pace;
  queue: Waiter[];
  /** Turns that have neither ended nor logged in, with their start. */
  readonly underWay: Map<Turn, number>;
  readonly listeners: Set<() => void>;
  cancel(): void;
}

interface Waiter {
  readonly request: TurnRequest;
  waitsUntil(at: number): void;
  grant(): void;
  refuse(failure: TunnelFailure): void;
}

function isIdle({ pace, queue, listeners }: Server, now: number): boolean {
  return queue.length + listeners.size === 0 && isForgettable(pace, now);
}

function rank({ purpose, loginHistory }: PaceRequest): number {
  return purpose === 'probe' ? 0 : ['proven', 'new', 'rejected'].indexOf(loginHistory);
}

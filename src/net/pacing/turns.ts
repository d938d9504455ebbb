import type { Clock } from '../../lib/async/clock.ts';
import { TunnelFailure } from '../../model/failure.ts';
import { createHostMemory, type HostMemory } from './host-memory.ts';
import { begin, isForgettable, isLimited, nextAt, type Outcome, settle, START } from './pace.ts';
import { type Claim, type Pace } from './types.ts';
import { outcomeOf, suspecting } from './suspicion.ts';

/** Where a connection leads, and from which of our addresses or interfaces where that was chosen. `beyond` is a server behind a proxy. */
export interface Place {
  readonly address: string;
  readonly port: number;
  readonly source: string | null;
  readonly beyond?: string | undefined;
}

/**
 * The new connections of this process to servers, each of which takes its turn: Pace says how many and when. Tunnels that were up
 * before go first, then those that have waited longest. While a server is away one of them dials for all, and its failure is theirs.
 */
export interface Turns {
  /**
   * Resolves when the connection may begin. Rejects with the failure that another one met meanwhile, or with the signal's reason.
   * `onWait` is told when the turn comes at the earliest, as soon as that is known and each time it changes.
   */
  take(place: Place, claim: TurnClaim, signal: AbortSignal, onWait?: (at: number) => void): Promise<Turn>;
  /** When it may begin at the earliest, in the clock's milliseconds; infinity where that depends on others. */
  nextAt(place: Place, claim: Claim): number;
  /** Resolves when a new connection is answered there, if only by a refusal; rejects with the signal's reason. */
  answered(place: Place, signal: AbortSignal): Promise<void>;
  readonly hosts: HostMemory;
}

export interface TurnClaim extends Claim {
  /** When the same tunnel last had a turn. */
  readonly since: number;
}

/** One connection from the moment it may begin: what becomes of it is to be told, in this order, and its end in any case. */
export interface Turn {
  /** A limit is suspected: no packet is to be sent that can be spared. */
  readonly gentle: boolean;
  opened(): void;
  /** It did not open; the answer is the failure, with what is suspected. */
  failed(failure: TunnelFailure): TunnelFailure;
  accepted(): void;
  /** It opened and ended before it was logged in; the answer is whether others of ours are let in meanwhile. */
  notAccepted(failure: TunnelFailure): boolean;
  end(): void;
}

export interface TurnsOptions {
  readonly clock: Clock;
  readonly random: () => number;
  /** How many packets of ours were refused by ICMP so far, as firewalls do; null where the system does not tell. */
  icmpRefusals(): number | null;
}

export function createTurns({ clock, random, icmpRefusals }: TurnsOptions): Turns {
  const servers = new Map<string, Server>();

  function serverAt(place: Place): Server {
    const key = [place.address, place.port, place.source, place.beyond].join(' ');
    const known = servers.get(key);
    if (known !== undefined) return known;
    for (const [other, server] of servers) if (isIdle(server, clock.now())) servers.delete(other);
    const machine = isLoopback(place.address) || place.beyond !== undefined ? key : `${place.address} ${place.source}`;
    const server = {
      machine,
      pace: START,
      queue: [],
      underWay: new Map<Turn, number>(),
      listeners: new Set<() => void>(),
      cancel: () => {},
    };
    servers.set(key, server);
    return server;
  }

  /** A firewall, and fail2ban, count what goes to one machine, whatever the port. */
  function nextFor(server: Server, claim: Claim): number {
    return nextAt(jointPace(server), claim, clock.now());
  }

  function jointPace(server: Server): Pace {
    const neighbours = [...servers.values()].filter(({ machine }) => machine === server.machine);
    const merged = (pick: (pace: Pace) => readonly number[]) =>
      neighbours.flatMap(({ pace }) => pick(pace)).toSorted((a, b) => a - b);
    const { pace } = server;
    if (neighbours.length === 1) return pace;
    return { ...pace, begun: merged(({ begun }) => begun), rejected: merged(({ rejected }) => rejected) };
  }

  /** Lets begin what may, and looks again when more may. */
  function admit(server: Server): void {
    server.cancel();
    server.queue.sort((a, b) => rank(a.claim) - rank(b.claim) || a.claim.since - b.claim.since);
    for (;;) {
      const next = server.queue.findIndex(({ claim }) => nextFor(server, claim) <= clock.now());
      if (next < 0) break;
      for (const { grant } of server.queue.splice(next, 1)) grant();
    }
    let earliest = Number.POSITIVE_INFINITY;
    let pace = jointPace(server);
    for (const [index, waiter] of server.queue.entries()) {
      const at = nextAt(pace, waiter.claim, clock.now());
      earliest = Math.min(earliest, at);
      waiter.waitsUntil(at);
      // Those behind come after it; whoever is far behind, not before these.
      if (index < FORESEEN && Number.isFinite(at)) pace = { ...pace, begun: [...pace.begun, at] };
    }
    if (Number.isFinite(earliest)) server.cancel = clock.timer(earliest - clock.now(), () => admit(server));
  }

  function change(server: Server, pace: Pace): void {
    server.pace = pace;
    for (const other of servers.values()) if (other.machine === server.machine) admit(other);
  }

  /** One that is never told of again must not shut the others out for ever. */
  function forgetLost(server: Server): void {
    for (const [turn, since] of server.underWay) if (since < clock.now() - LOST_MS) turn.end();
  }

  function start(server: Server, { purpose, standing }: Claim): Turn {
    const begun = { at: clock.now(), purpose, standing };
    const refusalsBefore = icmpRefusals();
    const gentle = isLimited(server.pace, clock.now());
    let stage: 'dialling' | 'open' | 'in' | 'over' = 'dialling';
    server.pace = begin(server.pace, begun);

    const settled = (outcome: Outcome, next: typeof stage, shared: TunnelFailure | null = null) => {
      stage = next;
      if (next !== 'open') server.underWay.delete(turn);
      const pace = settle(server.pace, outcome, begun, clock.now(), random);
      if (outcome === 'opened' || outcome === 'refused' || outcome === 'barred')
        for (const listener of server.listeners) listener();
      const waiting =
        shared === null || purpose === 'probe' ? [] : server.queue.filter(({ claim }) => claim.purpose === 'login');
      server.queue = server.queue.filter((waiter) => !waiting.includes(waiter));
      change(server, pace);
      for (const { refuse } of waiting) refuse(shared!);
    };
    const turn: Turn = {
      gentle,
      opened: () => {
        if (stage === 'dialling') settled('opened', 'open');
      },
      failed: (failure) => {
        if (stage !== 'dialling') return failure;
        const outcome = outcomeOf(failure.code, refusalsBefore, icmpRefusals());
        const limited = isLimited(
          settle(server.pace, outcome, begun, clock.now(), () => 0),
          clock.now(),
        );
        const told = limited && outcome !== 'unsent' ? suspecting(failure, outcome) : failure;
        settled(outcome, 'over', told);
        return told;
      },
      accepted: () => {
        if (stage === 'open') settled('accepted', 'in');
      },
      notAccepted: (failure) => {
        if (stage !== 'open') return false;
        const others = server.pace.established > 0;
        const outcome =
          failure.code === 'auth-rejected' ? 'rejected' : failure.code === 'handshake-failed' ? 'dropped' : 'left';
        // Where others get in, it was chance.
        settled(outcome, 'over', outcome === 'dropped' && !others ? failure : null);
        return others;
      },
      end: () => {
        if (stage !== 'over') settled(stage === 'in' ? 'ended' : 'left', 'over');
      },
    };
    server.underWay.set(turn, begun.at);
    return turn;
  }

  return {
    take: (place, claim, signal, onWait = () => {}) => {
      const server = serverAt(place);
      forgetLost(server);
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
          // Nobody's turn comes sooner for that.
          server.queue = server.queue.filter((other) => other !== waiter);
          if (server.queue.length === 0) server.cancel();
          reject(signal.reason as Error);
        };
        let told = Number.POSITIVE_INFINITY;
        const waiter: Waiter = {
          claim,
          waitsUntil: (at) => {
            if (!Number.isFinite(at) || Math.abs(at - told) < NEWS_MS) return;
            told = at;
            onWait(at);
          },
          grant: leave(() => resolve(start(server, claim))),
          refuse: (failure) => leave(() => reject(failure))(),
        };
        signal.addEventListener('abort', onAbort, { once: true });
        server.queue.push(waiter);
        admit(server);
      });
    },
    nextAt: (place, claim) => nextFor(serverAt(place), claim),
    answered: (place, signal) => {
      const { listeners } = serverAt(place);
      return new Promise((resolve, reject) => {
        const listener = () => {
          listeners.delete(listener);
          signal.removeEventListener('abort', onAbort);
          resolve();
        };
        const onAbort = () => {
          listeners.delete(listener);
          reject(signal.reason as Error);
        };
        if (signal.aborted) return onAbort();
        signal.addEventListener('abort', onAbort, { once: true });
        listeners.add(listener);
      });
    },
    hosts: createHostMemory(),
  };
}

/** Turns of the queue that are foreseen one by one: more than any usual limit lets in at a time. */
const FORESEEN = 8;

/** What comes no more than this sooner or later is no news. */
const NEWS_MS = 500;

/** Longer than any attempt takes that is not broken; who waits asks every ten seconds. */
const LOST_MS = 2 * 3_600_000;

interface Server {
  /** What has one firewall. */
  readonly machine: string;
  pace: Pace;
  queue: Waiter[];
  /** Turns that are not over and not logged in, with when they began. */
  readonly underWay: Map<Turn, number>;
  readonly listeners: Set<() => void>;
  cancel(): void;
}

interface Waiter {
  readonly claim: TurnClaim;
  waitsUntil(at: number): void;
  grant(): void;
  refuse(failure: TunnelFailure): void;
}

function isIdle({ pace, queue, listeners }: Server, now: number): boolean {
  return queue.length + listeners.size === 0 && isForgettable(pace, now);
}

/** There each port may be a way to another machine; and no usual limit is for the machine's own connections. */
function isLoopback(address: string): boolean {
  return address === '::1' || /^(::ffff:)?127\./.test(address);
}

function rank({ purpose, standing }: Claim): number {
  return purpose === 'probe' ? 0 : ['proven', 'new', 'rejected'].indexOf(standing);
}

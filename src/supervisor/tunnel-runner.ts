import { childController } from '../lib/async/abort.ts';
import { sleep, type Clock } from '../lib/async/clock.ts';
import type { Logger } from '../lib/log/log.ts';
import { ownTurn } from '../lib/async/slices.ts';
import type { TunnelDevice } from '../tunnel/remembered.ts';
import { createLending, type Lending } from '../forwarding/listeners/listener-lease.ts';
import type { TunnelSpec } from '../model/spec.ts';
import type { ConnectionPool } from '../connection/shared/connection-pool.ts';
import type { IdentityCache } from '../connection/auth/identity-cache.ts';
import { TunnelFailure } from '../model/failure.ts';
import { initialState, reportFailure, type TunnelState } from '../model/state.ts';
import { runTunnel } from '../tunnel/tunnel.ts';
import type { HoldBack, Suspects } from './suspects.ts';

export interface LoopDeps {
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
  readonly identities: IdentityCache;
  readonly device: TunnelDevice;
  readonly suspects: Suspects;
  /** Those that tunnels with the same login may share. */
  readonly connections: ConnectionPool;
  /** True when one of the configured hint addresses answers; null when there are none. */
  readonly ping: () => ((signal: AbortSignal) => Promise<boolean>) | null;
}

export interface LoopEvents {
  onChange(loop: Loop): void;
  /** See SessionDeps. */
  beforeListening(loop: Loop): Promise<void>;
}

/** One tunnel that is kept up. */
export interface Loop {
  readonly spec: TunnelSpec;
  /** Of the monotonic clock, in milliseconds. */
  readonly startedAt: number;
  readonly lending: Lending;
  state(): TunnelState;
  /** Cuts a wait short; false where there was none. */
  retryNow(): boolean;
  /** Whether it has not shown itself in the time it promised. */
  isStuck(): boolean;
  /** Gives its listeners back at once, and ends when those who are being served have gone, or after half a minute. */
  retire(): Promise<void>;
  /** Resolves when it has said goodbye. */
  end(): Promise<void>;
}

/** A bug in a tunnel ends its loop, not the daemon: it is started again. */
export function startLoop(spec: TunnelSpec, deps: LoopDeps, events: LoopEvents): Loop {
  const { clock } = deps;
  const controller = new AbortController();
  const { signal } = controller;
  const visitors = new AbortController();
  const log = deps.log.child({ tunnel: spec.name });
  const lending = createLending(clock);
  let state = initialState(spec, clock.now());
  let dueBy = clock.now() + FIRST_SIGN_MS;
  let retryNow = () => false;
  let isSuspect = false;

  /** Keeps what may stop the process from doing it again before the others had their turn. */
  const waitInSuspicion = async ({ ms, why }: HoldBack) => {
    const wait = childController(signal);
    retryNow = () => {
      wait.abort(new Error('retry now'));
      return true;
    };
    dueBy = clock.now() + ms + FIRST_SIGN_MS;
    const failure = why === null ? null : new TunnelFailure('internal', why);
    if (failure !== null) log.error({ code: failure.code, retryInSeconds: ms / 1000 }, failure.message);
    tunnelDeps.setState({
      ...state,
      phase: 'waiting',
      retryAt: clock.now() + ms,
      failure: failure === null ? null : reportFailure(failure, clock.now()),
    });
    await sleep(clock, ms, wait.signal).catch(() => {});
    wait.dispose();
  };

  const keepRunning = async () => {
    const holdBack = deps.suspects.holdBack(spec.name);
    isSuspect = holdBack.why !== null;
    if (holdBack.ms > 0) await waitInSuspicion(holdBack);
    await ownTurn();
    while (!signal.aborted) {
      try {
        await runTunnel(spec, tunnelDeps, signal);
      } catch (error) {
        log.error({ code: 'internal', error }, 'a bug ended the tunnel; it is started again');
        dueBy = clock.now() + FIRST_SIGN_MS;
        await sleep(clock, RESTART_MS, signal).catch(() => {});
      }
    }
  };
  const tunnelDeps = {
    clock,
    random: deps.random,
    log,
    identities: deps.identities,
    device: deps.device,
    lease: lending,
    // What stopped the process takes no others along.
    get connections() {
      return isSuspect ? null : deps.connections;
    },
    get ping() {
      return deps.ping();
    },
    beforeListening: () => events.beforeListening(loop),
    visitorsEnd: visitors.signal,
    heartbeat: (withinMs: number) => {
      dueBy = clock.now() + withinMs;
    },
    state: () => state,
    setState: (next: TunnelState) => {
      const was = isConnected(state);
      state = next;
      if (isConnected(next) && !was) deps.suspects.connected(spec.name);
      if (!isConnected(next) && was) deps.suspects.over(spec.name);
      events.onChange(loop);
    },
    onRetryNow: (next: () => boolean) => {
      retryNow = next;
    },
  };
  let done = Promise.resolve();
  const loop: Loop = {
    spec,
    startedAt: state.since,
    lending,
    state: () => state,
    retryNow: () => retryNow(),
    isStuck: () => dueBy < clock.now(),
    retire: async () => {
      dueBy = clock.now() + VISITORS_STAY_MS + FIRST_SIGN_MS;
      const cancel = clock.timer(VISITORS_STAY_MS, () => visitors.abort(STOPPED));
      controller.abort(STOPPED);
      await done;
      cancel();
    },
    end: () => {
      visitors.abort(STOPPED);
      controller.abort(STOPPED);
      return done;
    },
  };
  done = keepRunning();
  return loop;
}

/** Whether a server has its say: from the TCP connection on, or from the login where another program made that. */
function isConnected({ sourcePort, phase }: TunnelState): boolean {
  return sourcePort !== null || phase === 'authenticating' || phase === 'forwarding' || phase === 'up';
}

const STOPPED = new Error('stopped');

/** Enough for a request and its answer. */
const VISITORS_STAY_MS = 30_000;

const FIRST_SIGN_MS = 60_000;
const RESTART_MS = 5000;

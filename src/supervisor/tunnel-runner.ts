import pRetry from 'p-retry';
import { childController } from '../lib/async/abort.ts';
import { sleep, type Clock } from '../lib/async/clock.ts';
import type { Logger } from '../lib/log/log.ts';
import { ownTurn } from '../lib/async/slices.ts';
import type { TunnelDevice } from '../tunnel/remembered.ts';
import {
  createSuspendableListeners,
  type SuspendableListeners,
} from '../forwarding/listeners/suspendable-listeners.ts';
import type { TunnelSpec } from '../model/spec.ts';
import type { ConnectionPool } from '../connection/shared/connection-pool.ts';
import type { IdentityCache } from '../connection/auth/identity-cache.ts';
import { TunnelFailure } from '../model/failure.ts';
import type { TunnelState } from '../model/state.ts';
import { createStore } from '../tunnel/store.ts';
import type { TunnelDeps } from '../tunnel/session-deps.ts';
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
  readonly listeners: SuspendableListeners;
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
  const visitors = new AbortController();
  const listeners = createSuspendableListeners(clock);
  const now = clock.now();
  const store = createStore(spec, clock);
  const life: Life = {
    dueBy: now + FIRST_SIGN_MS,
    retryNow: () => false,
    isSuspect: false,
  };
  const loop: Loop = {
    spec,
    startedAt: now,
    listeners: listeners,
    state: store.state,
    retryNow: () => life.retryNow(),
    isStuck: () => life.dueBy < clock.now(),
    retire: async () => {
      life.dueBy = clock.now() + VISITORS_STAY_MS + FIRST_SIGN_MS;
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
  const tunnelDeps: TunnelDeps = {
    clock,
    random: deps.random,
    log: deps.log.child({ tunnel: spec.name }),
    identities: deps.identities,
    device: deps.device,
    store,
    // What stopped the process takes no others along.
    get connections() {
      return life.isSuspect ? null : deps.connections;
    },
    get ping() {
      return deps.ping();
    },
    access: listeners,
    beforeListening: () => events.beforeListening(loop),
    visitorsEnd: visitors.signal,
    heartbeat: (withinMs) => {
      life.dueBy = clock.now() + withinMs;
    },
    onRetryNow: (next) => {
      life.retryNow = next;
    },
  };
  store.subscribe((next, before) => {
    if (isConnected(next) && !isConnected(before)) deps.suspects.connected(spec.name);
    if (!isConnected(next) && isConnected(before)) deps.suspects.over(spec.name);
    events.onChange(loop);
  });
  const done = keepRunning(spec, life, tunnelDeps, deps.suspects, controller.signal);
  return loop;
}

/** How a loop stands. */
interface Life {
  /** When it is to have shown itself again. */
  dueBy: number;
  retryNow(): boolean;
  /** Whether it is thought to have stopped the process before. */
  isSuspect: boolean;
}

async function keepRunning(
  spec: TunnelSpec,
  life: Life,
  deps: TunnelDeps,
  suspects: Suspects,
  signal: AbortSignal,
): Promise<void> {
  const holdBack = suspects.holdBack(spec.name);
  life.isSuspect = holdBack.why !== null;
  if (holdBack.ms > 0) await waitInSuspicion(holdBack, deps, signal);
  await ownTurn();
  // p-retry takes a TypeError for one that comes again each time.
  const run = () =>
    runTunnel(spec, deps, signal).catch((cause: unknown) => Promise.reject(new Error('a bug', { cause })));
  try {
    await pRetry(run, {
      retries: Number.POSITIVE_INFINITY,
      minTimeout: RESTART_MS,
      factor: 1,
      signal,
      onFailedAttempt: ({ error }) => {
        if (signal.aborted) return;
        deps.log.error({ code: 'internal', error: error.cause }, 'a bug ended the tunnel; it is started again');
        deps.heartbeat(FIRST_SIGN_MS);
      },
    });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

/** Keeps what may stop the process from doing it again before the others had their turn. */
async function waitInSuspicion({ ms, why }: HoldBack, deps: TunnelDeps, signal: AbortSignal): Promise<void> {
  const { clock, log, store } = deps;
  const wait = childController(signal);
  deps.onRetryNow(() => {
    wait.abort(new Error('retry now'));
    return true;
  });
  deps.heartbeat(ms + FIRST_SIGN_MS);
  const failure = why === null ? null : new TunnelFailure('internal', why);
  if (failure !== null) log.error({ code: failure.code, retryInSeconds: ms / 1000 }, failure.message);
  store.dispatch({ type: 'scheduled', phase: 'waiting', retryAt: clock.now() + ms, failure });
  await sleep(clock, ms, wait.signal).catch(() => {});
  wait.dispose();
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

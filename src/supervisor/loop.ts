import pRetry from 'p-retry';
import type { Environment } from '../lib/log/environment.ts';
import { createEmitter } from '../lib/async/emitter.ts';
import { sleepUntil } from '../lib/async/clock.ts';
import { ownTick } from '../lib/async/slices.ts';
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
import type { TunnelDeps } from '../tunnel/tunnel-deps.ts';
import { runTunnel } from '../tunnel/tunnel.ts';
import type { HoldBack, Suspects } from './suspects.ts';

export interface LoopDeps extends Environment {
  readonly identities: IdentityCache;
  readonly device: TunnelDevice;
  readonly suspects: Suspects;
  /** The connections that tunnels with the same login may share. */
  readonly connections: ConnectionPool;
  /** Resolves with whether one of the configured hint addresses answers; null when there are none. */
  readonly ping: () => ((signal: AbortSignal) => Promise<boolean>) | null;
}

export interface LoopEvents {
  onChange(loop: Loop): void;
  /** See ListenerAccess.ready(). */
  beforeListening(loop: Loop): Promise<void>;
}

/** The loop that keeps one tunnel up. */
export interface Loop {
  readonly spec: TunnelSpec;
  /** Of the monotonic clock, in milliseconds. */
  readonly startedAt: number;
  readonly listeners: SuspendableListeners;
  state(): TunnelState;
  /** Ends a wait; false where there was none. */
  retryNow(): boolean;
  /** Whether its heartbeat is overdue. */
  isStuck(): boolean;
  /** Returns its listeners at once, and ends when its visitors have left, or after VISITORS_STAY_MS. */
  retire(): Promise<void>;
  /** Ends it, with its visitors; resolves when it is disconnected. */
  end(): Promise<void>;
}

/** Starts the loop of a tunnel. A bug ends the loop, not the daemon: the loop is started again. */
export function startLoop(spec: TunnelSpec, deps: LoopDeps, events: LoopEvents): Loop {
  const { clock } = deps;
  const controller = new AbortController();
  const visitors = new AbortController();
  const listeners = createSuspendableListeners(clock, () => events.beforeListening(loop));
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
    listeners,
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
    ...deps,
    log: deps.log.child({ tunnel: spec.name }),
    store,
    // A suspect does not share connections with other tunnels.
    get connections() {
      return life.isSuspect ? null : deps.connections;
    },
    get ping() {
      return deps.ping();
    },
    listeners,
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

/** The mutable state of a loop. */
interface Life {
  /** When its next heartbeat is due. */
  dueBy: number;
  retryNow(): boolean;
  /** See Suspects. */
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
  // p-retry does not retry after a TypeError.
  const run = () =>
    runTunnel(spec, deps, signal).catch((cause: unknown) => Promise.reject(new Error('a bug', { cause })));
  try {
    if (holdBack.ms > 0) await waitInSuspicion(holdBack, deps, signal);
    await ownTick();
    await pRetry(run, {
      retries: Number.POSITIVE_INFINITY,
      minTimeout: RESTART_MS,
      factor: 1,
      signal,
      onFailedAttempt: ({ error }) => {
        if (signal.aborted) return;
        deps.log.error({ code: 'internal', error: error.cause }, 'a bug: the tunnel ended; it is started again');
        deps.heartbeat(FIRST_SIGN_MS);
      },
    });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

/** Delays a suspect until the other tunnels are connected. */
async function waitInSuspicion({ ms, why }: HoldBack, deps: TunnelDeps, signal: AbortSignal): Promise<void> {
  const { clock, log, store } = deps;
  const retryNow = createEmitter();
  deps.onRetryNow(() => {
    retryNow.emit();
    return true;
  });
  deps.heartbeat(ms + FIRST_SIGN_MS);
  const failure = why === null ? null : new TunnelFailure('internal', why);
  if (failure !== null) log.error({ code: failure.code, retryInSeconds: ms / 1000 }, failure.message);
  store.dispatch({ type: 'scheduled', phase: 'waiting', retryAt: clock.now() + ms, failure });
  await sleepUntil(clock, ms, [retryNow.subscribe], signal);
}

/** Whether a server can send data: from the TCP connection on, or from the login where a proxyCommand connects. */
function isConnected({ sourcePort, phase }: TunnelState): boolean {
  return sourcePort !== null || phase === 'authenticating' || phase === 'forwarding' || phase === 'up';
}

const STOPPED = new Error('stopped');

/** Enough for a request and its answer. */
const VISITORS_STAY_MS = 30_000;

const FIRST_SIGN_MS = 60_000;
const RESTART_MS = 5000;

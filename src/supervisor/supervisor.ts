import { deferred } from '../lib/abort.ts';
import { sleep, type Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import type { Device } from '../tunnel/device.ts';
import type { TunnelSpec } from '../tunnel/spec.ts';
import type { IdentityCache } from '../tunnel/ssh2/identities.ts';
import { initialState, type TunnelState } from '../tunnel/state.ts';
import { runTunnel } from '../tunnel/tunnel.ts';
import { planChange, type Plan } from './plan.ts';

export interface SupervisorDeps {
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
  readonly identities: IdentityCache;
  readonly device: Device;
  /** True when one of the configured hint addresses answers; null when there are none. */
  readonly ping: () => ((signal: AbortSignal) => Promise<boolean>) | null;
}

/** Owns the running tunnels. What happens in one of them never reaches another. */
export interface Supervisor {
  /** Makes the running tunnels those of the list; what did not change is not touched. Calls are carried out one after the other. */
  apply(wanted: readonly TunnelSpec[]): Promise<Plan>;
  tunnels(): readonly RunningTunnel[];
  /** Cuts short the wait of this tunnel, or of all for null; names those that waited. */
  retry(name: string | null): readonly string[];
  /** Calls `listener` after every change of a tunnel's state. */
  subscribe(listener: () => void): void;
  /** Names of the tunnels whose loop has not shown itself in the time it promised. */
  stuck(): readonly string[];
  /** Ends all tunnels; resolves when the last one has said goodbye. */
  stop(): Promise<void>;
}

export interface RunningTunnel {
  readonly spec: TunnelSpec;
  readonly state: TunnelState;
}

interface Running {
  spec: TunnelSpec;
  state: TunnelState;
  readonly controller: AbortController;
  done: Promise<void>;
  retryNow: () => boolean;
  dueBy: number;
}

export function createSupervisor(deps: SupervisorDeps): Supervisor {
  const { clock } = deps;
  const running = new Map<string, Running>();
  const listeners = new Set<() => void>();
  let order: readonly string[] = [];
  let queue = Promise.resolve();
  const changed = () => {
    for (const listener of listeners) listener();
  };

  async function applyNow(wanted: readonly TunnelSpec[]): Promise<Plan> {
    const plan = planChange(
      [...running.values()].map((tunnel) => tunnel.spec),
      wanted,
    );
    order = wanted.map((spec) => spec.name);
    // What ends goes first: a listener may have moved to another tunnel, and the server gives it to one at a time.
    await Promise.all([...plan.removed, ...plan.changed].map(end));
    for (const spec of wanted) if (!running.has(spec.name)) start(spec);
    changed();
    return plan;
  }

  async function end(name: string): Promise<void> {
    const tunnel = running.get(name);
    if (tunnel === undefined) return;
    tunnel.controller.abort(new Error('stopped'));
    await tunnel.done;
    running.delete(name);
  }

  function start(spec: TunnelSpec): void {
    const tunnel: Running = {
      spec,
      state: initialState(spec, clock.wall()),
      controller: new AbortController(),
      done: Promise.resolve(),
      retryNow: () => false,
      dueBy: clock.now() + FIRST_SIGN_MS,
    };
    running.set(spec.name, tunnel);
    tunnel.done = keepRunning(tunnel);
  }

  /** A bug in a tunnel ends its loop, not the daemon: it is started again. */
  async function keepRunning(tunnel: Running): Promise<void> {
    const { signal } = tunnel.controller;
    const log = deps.log.child({ tunnel: tunnel.spec.name });
    while (!signal.aborted) {
      try {
        await runTunnel(tunnel.spec, tunnelDeps(tunnel, log), signal);
      } catch (error) {
        log.error({ code: 'internal', error }, 'a bug ended the tunnel; it is started again');
        tunnel.dueBy = clock.now() + FIRST_SIGN_MS;
        await sleep(clock, RESTART_MS, signal).catch(() => {});
      }
    }
  }

  function tunnelDeps(tunnel: Running, log: Logger) {
    return {
      clock,
      random: deps.random,
      log,
      identities: deps.identities,
      device: deps.device,
      get ping() {
        return deps.ping();
      },
      heartbeat: (withinMs: number) => {
        tunnel.dueBy = clock.now() + withinMs;
      },
      state: () => tunnel.state,
      setState: (next: TunnelState) => {
        tunnel.state = next;
        changed();
      },
      onRetryNow: (retryNow: () => boolean) => {
        tunnel.retryNow = retryNow;
      },
    };
  }

  return {
    apply: (wanted) => {
      const answer = deferred<Plan>();
      queue = queue.then(() => applyNow(wanted).then(answer.resolve, answer.reject));
      return answer.promise;
    },
    tunnels: () => order.flatMap((name) => running.get(name) ?? []).map(({ spec, state }) => ({ spec, state })),
    retry: (name) => {
      const chosen = [...running.values()].filter((tunnel) => name === null || tunnel.spec.name === name);
      return chosen.filter((tunnel) => tunnel.retryNow()).map((tunnel) => tunnel.spec.name);
    },
    subscribe: (listener) => {
      listeners.add(listener);
    },
    stuck: () => {
      const now = clock.now();
      return [...running.values()].filter((tunnel) => tunnel.dueBy < now).map((tunnel) => tunnel.spec.name);
    },
    stop: async () => {
      await Promise.all([...running.keys()].map(end));
    },
  };
}

const FIRST_SIGN_MS = 60_000;
const RESTART_MS = 5000;

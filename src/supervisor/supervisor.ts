import { createQueue } from '../lib/async/queue.ts';
import { inSlices, ownTurn } from '../lib/async/slices.ts';
import { createConnectionPool } from '../connection/shared/connection-pool.ts';
import type { TunnelSpec } from '../model/spec.ts';
import { remoteListeners } from '../forwarding/listeners/holdings.ts';
import { formatServer, type TunnelState } from '../model/state.ts';
import { endLoop, startPlace, type Fleet, type Place } from './fleet.ts';
import { planChange, type Plan } from './plan.ts';
import { planReplacement } from './replacement.ts';
import type { Loop, LoopDeps } from './tunnel-runner.ts';

/** Owns the running tunnels. What happens in one of them never reaches another. */
export interface Supervisor {
  /**
   * Makes the running tunnels those of the list; what did not change is not touched, and what changed goes on as it was until it is
   * up as it is to be. Calls are carried out one after the other.
   */
  apply(wanted: readonly TunnelSpec[]): Promise<Plan>;
  tunnels(): readonly RunningTunnel[];
  /** Cuts short the wait of this tunnel, or of all for null; names those that waited. */
  retry(name: string | null): readonly string[];
  /**
   * A fresh connection for every tunnel: one that is up goes on until the new one is, one that is silent or lacks a listener ends
   * first, one that waits does so no more. Calls are carried out one after the other, and among those of apply().
   */
  reconnect(): Promise<void>;
  /** A person says that this tunnel is to have its listeners, whoever had them before. */
  take(name: string): void;
  /** Calls `listener` after changes of tunnels' states: once for all that come in one turn of the event loop. */
  subscribe(listener: () => void): void;
  /** Names of the tunnels whose loop has not shown itself in the time it promised. */
  stuck(): readonly string[];
  /** Ends all tunnels; resolves when the last one has said goodbye. */
  stop(): Promise<void>;
}

export interface RunningTunnel {
  readonly spec: TunnelSpec;
  readonly state: TunnelState;
  /** Of the monotonic clock, in milliseconds. */
  readonly startedAt: number;
  /** Those that go on until this one is up, because it replaces them. */
  readonly previous: readonly RunningTunnel[];
}

export function createSupervisor(deps: Omit<LoopDeps, 'connections'>): Supervisor {
  const connections = createConnectionPool();
  const listeners = new Set<() => void>();
  const inTurn = createQueue();
  let telling: NodeJS.Immediate | null = null;
  const fleet: Fleet = {
    deps: { ...deps, connections },
    places: new Map(),
    alive: new Set(),
    stopped: false,
    // Once in a turn of the event loop: a thousand tunnels change together, and who is told looks at them all.
    changed: () => {
      telling ??= setImmediate(() => {
        telling = null;
        for (const listener of listeners) listener();
      });
    },
  };
  const { places, alive } = fleet;

  return {
    apply: (wanted) => inTurn(() => applyNow(fleet, wanted)),
    tunnels: () => [...places.values()].map(({ loop, previous }) => ({ ...view(loop), previous: previous.map(view) })),
    retry: (name) => {
      const chosen = [...alive].filter((loop) => name === null || loop.spec.name === name);
      return [...new Set(chosen.filter((loop) => loop.retryNow()).map((loop) => loop.spec.name))];
    },
    reconnect: () => inTurn(() => reconnectNow(fleet)),
    take: (name) => {
      for (const { spec } of alive) {
        if (spec.name !== name) continue;
        const holdings = deps.device.holdings(formatServer(spec));
        for (const listen of remoteListeners(spec)) holdings.hold(listen);
      }
    },
    subscribe: (listener) => {
      listeners.add(listener);
    },
    stuck: () => [...alive].filter((loop) => loop.isStuck()).map((loop) => loop.spec.name),
    stop: async () => {
      fleet.stopped = true;
      for (const { loan } of places.values()) loan?.giveBack();
      await Promise.all([...alive].map((loop) => loop.end()));
    },
  };
}

/** Who runs is settled at once; the new ones log in while what ends says goodbye, and then listen. */
async function applyNow(fleet: Fleet, wanted: readonly TunnelSpec[]): Promise<Plan> {
  const { places } = fleet;
  const before = [...places.values()];
  const running = before.map(({ loop }) => loop.spec);
  const plan = await inSlices(planChange(running, wanted));
  const { keep, resume, start, end } = planReplacement(before, wanted, new Set(plan.unchanged));
  const kept = new Map<string, Place>();
  for (const place of before) {
    const { name } = place.loop.spec;
    const previous = keep.get(name);
    if (previous === undefined) place.loan?.giveBack();
    else kept.set(name, Object.assign(place, { previous }));
  }
  places.clear();
  const ended = Promise.all(end.map((loop) => endInTurn(fleet, loop)));
  for (const spec of wanted) {
    const { name } = spec;
    const same = resume.get(name);
    // What it has lent is its own again.
    same?.lending.takeBack([...spec.forwards.keys()]);
    const resumed = same && { loop: same, previous: [], loan: null, asked: false, ready: ended };
    places.set(name, kept.get(name) ?? resumed ?? startPlace(fleet, spec, start.get(name) ?? [], ended));
  }
  await ended;
  fleet.changed();
  return plan;
}

async function endInTurn(fleet: Fleet, loop: Loop): Promise<void> {
  await ownTurn();
  await endLoop(fleet, loop);
}

async function reconnectNow(fleet: Fleet): Promise<void> {
  const { places, deps } = fleet;
  deps.connections.retire();
  const renewed = [...places].map(async ([name, { loop, previous }]) => {
    const { phase, silentSince } = loop.state();
    // One that is being connected is as fresh as can be.
    if (loop.retryNow() || previous.length > 0 || (phase !== 'up' && phase !== 'forwarding')) return;
    const goesOn = phase === 'up' && silentSince === null;
    if (!goesOn) await endLoop(fleet, loop);
    // A reload waits its turn; only the tunnel itself may have ended.
    places.set(name, startPlace(fleet, loop.spec, goesOn ? [loop] : [], Promise.resolve()));
  });
  await Promise.all(renewed);
  fleet.changed();
}

function view(loop: Loop): RunningTunnel {
  return { spec: loop.spec, state: loop.state(), startedAt: loop.startedAt, previous: [] };
}

import { createEmitter } from '../lib/async/emitter.ts';
import { createQueue } from '../lib/async/queue.ts';
import { inSlices, ownTick } from '../lib/async/slices.ts';
import { createConnectionPool } from '../connection/shared/connection-pool.ts';
import type { TunnelSpec } from '../model/spec.ts';
import { remoteListeners } from '../forwarding/listeners/owners.ts';
import { loginKey } from '../model/server-key.ts';
import type { TunnelState } from '../model/state.ts';
import { endLoop, startSlot, type Slots, type Slot } from './slots.ts';
import { planChange, type Plan } from './plan.ts';
import { planReplacement } from './replacement.ts';
import type { Loop, LoopDeps } from './tunnel-runner.ts';

/** Owns the running tunnels. A failure of one never reaches another. */
export interface Supervisor {
  /**
   * Makes the running tunnels those of the list. An unchanged tunnel is not touched; a changed one keeps running until its replacement
   * is up. Calls run one after the other.
   */
  apply(wanted: readonly TunnelSpec[]): Promise<Plan>;
  tunnels(): readonly RunningTunnel[];
  /** Ends the wait of this tunnel, or of all for null; the answer names those that waited. */
  retry(name: string | null): readonly string[];
  /**
   * A new connection for every tunnel: one that is up runs until its replacement is up, one that is silent or lacks a listener ends
   * first, one that waits tries at once. Calls run one after the other, in one queue with those of apply().
   */
  reconnect(): Promise<void>;
  /** Lets this tunnel take its listeners, though they led to another device: a person's decision. */
  take(name: string): void;
  /** Calls `listener` after changes of tunnels' states: once for all changes of one tick of the event loop. */
  subscribe(listener: () => void): void;
  /** Names of the tunnels whose loop has missed its heartbeat. */
  stuck(): readonly string[];
  /** Ends all tunnels; resolves when the last one is disconnected. */
  stop(): Promise<void>;
}

export interface RunningTunnel {
  readonly spec: TunnelSpec;
  readonly state: TunnelState;
  /** Of the monotonic clock, in milliseconds. */
  readonly startedAt: number;
  /** The predecessors, which run until this one is up. */
  readonly previous: readonly RunningTunnel[];
}

export function createSupervisor(deps: Omit<LoopDeps, 'connections'>): Supervisor {
  const connections = createConnectionPool(deps.clock);
  const changes = createEmitter();
  const oneAtATime = createQueue();
  let notifying: NodeJS.Immediate | null = null;
  const slots: Slots = {
    deps: { ...deps, connections },
    byName: new Map(),
    alive: new Set(),
    stopped: false,
    // Once in a tick of the event loop: a thousand tunnels change together, and each subscriber reads them all.
    changed: () => {
      notifying ??= setImmediate(() => {
        notifying = null;
        changes.emit();
      });
    },
  };
  const { byName, alive } = slots;

  return {
    apply: (wanted) => oneAtATime(() => applyNow(slots, wanted)),
    tunnels: () => [...byName.values()].map(({ loop, previous }) => ({ ...view(loop), previous: previous.map(view) })),
    retry: (name) => {
      const chosen = [...alive].filter((loop) => name === null || loop.spec.name === name);
      return [...new Set(chosen.filter((loop) => loop.retryNow()).map((loop) => loop.spec.name))];
    },
    reconnect: () => oneAtATime(() => reconnectNow(slots)),
    take: (name) => {
      for (const { spec } of alive) {
        if (spec.name !== name) continue;
        const owners = deps.device.owners(loginKey(spec));
        for (const listen of remoteListeners(spec)) owners.rememberOurs(listen);
      }
    },
    subscribe: (listener) => void changes.subscribe(listener),
    stuck: () => [...alive].filter((loop) => loop.isStuck()).map((loop) => loop.spec.name),
    stop: async () => {
      slots.stopped = true;
      for (const { handover } of byName.values()) handover?.cancel();
      await Promise.all([...alive].map((loop) => loop.end()));
    },
  };
}

/** The new tunnels log in while those that end disconnect, and then listen. */
async function applyNow(slots: Slots, wanted: readonly TunnelSpec[]): Promise<Plan> {
  const { byName } = slots;
  const before = [...byName.values()];
  const running = before.map(({ loop }) => loop.spec);
  const plan = await inSlices(planChange(running, wanted));
  const { keep, resume, start, end } = planReplacement(before, wanted, new Set(plan.unchanged));
  const kept = new Map<string, Slot>();
  for (const slot of before) {
    const { name } = slot.loop.spec;
    const previous = keep.get(name);
    if (previous === undefined) slot.handover?.cancel();
    else kept.set(name, Object.assign(slot, { previous }));
  }
  byName.clear();
  const ended = Promise.all(end.map((loop) => endInOwnTick(slots, loop)));
  for (const spec of wanted) {
    const { name } = spec;
    const same = resume.get(name);
    same?.listeners.resume([...spec.forwards.keys()]);
    const resumed = same && { loop: same, previous: [], handover: null, handoverTried: false, ready: ended };
    byName.set(name, kept.get(name) ?? resumed ?? startSlot(slots, spec, start.get(name) ?? [], ended));
  }
  await ended;
  slots.changed();
  return plan;
}

async function endInOwnTick(slots: Slots, loop: Loop): Promise<void> {
  await ownTick();
  await endLoop(slots, loop);
}

async function reconnectNow(slots: Slots): Promise<void> {
  const { byName, deps } = slots;
  deps.connections.retire();
  const renewed = [...byName].map(async ([name, { loop, previous }]) => {
    const { phase, silentSince } = loop.state();
    // A tunnel that is connecting has a new connection already.
    if (loop.retryNow() || previous.length > 0 || (phase !== 'up' && phase !== 'forwarding')) return;
    const goesOn = phase === 'up' && silentSince === null;
    if (!goesOn) await endLoop(slots, loop);
    // Reloads wait in the queue: the slot is still this one.
    byName.set(name, startSlot(slots, loop.spec, goesOn ? [loop] : [], Promise.resolve()));
  });
  await Promise.all(renewed);
  slots.changed();
}

function view(loop: Loop): RunningTunnel {
  return { spec: loop.spec, state: loop.state(), startedAt: loop.startedAt, previous: [] };
}

import { createEmitter } from '../lib/async/emitter.ts';
import { createQueue } from '../lib/async/queue.ts';
import { inSlices, ownTick } from '../lib/async/slices.ts';
import { createConnectionPool } from '../connection/shared/connection-pool.ts';
import type { TunnelSpec } from '../model/spec.ts';
import { remoteListeners } from '../forwarding/listeners/owners.ts';
import { isMeant, tunnelOf } from '../model/redundancy.ts';
import { loginKey } from '../model/server-key.ts';
import { formatServer, initialState, type TunnelState } from '../model/state.ts';
import { createCourses } from './courses.ts';
import type { Sight } from './failover.ts';
import { advanceHandover, endLoop, startSlot, type Slots, type Slot } from './slots.ts';
import { planChange, type Plan } from './plan-change.ts';
import { planReplacement } from './replacement.ts';
import type { Loop, LoopDeps } from './loop.ts';

export type Supervisor = ReturnType<typeof createSupervisor>;

export interface RunningTunnel {
  readonly spec: TunnelSpec;
  readonly state: TunnelState;
  /** Of the monotonic clock, in milliseconds. */
  readonly startedAt: number;
  /** The predecessors, which run until this one is up. */
  readonly previous: readonly RunningTunnel[];
  /** One of several servers, which is not to have the tunnel at present. */
  readonly standby?: true;
  /** Of several servers, another one that has the tunnel while this one has not. */
  readonly elsewhere?: string;
  /** Of a whole tunnel with several servers: what it is at each. */
  readonly members?: readonly RunningTunnel[];
}

/** Owns the running tunnels. A failure of one never reaches another. */
export function createSupervisor(deps: Omit<LoopDeps, 'connections'>) {
  const connections = createConnectionPool(deps.clock);
  const changes = createEmitter();
  const oneAtATime = createQueue();
  let notifying: NodeJS.Immediate | null = null;
  const slots: Slots = {
    deps: { ...deps, connections },
    byName: new Map(),
    alive: new Set(),
    wanted: [],
    stopped: false,
    // Once in a tick of the event loop: a thousand tunnels change together, and each subscriber reads them all.
    changed: () => {
      notifying ??= setImmediate(() => {
        notifying = null;
        courses.look();
        changes.emit();
      });
    },
  };
  const { byName, alive } = slots;
  const courses = createCourses({
    clock: deps.clock,
    log: deps.log,
    sight: (name) => sightOf(slots, name),
    onOtherServers: () => {
      oneAtATime(() => applyNow(slots, courses.chosen(slots.wanted), slots.wanted)).catch((error: unknown) =>
        deps.log.error({ code: 'internal', error }, 'a bug: the servers of a tunnel were not changed'),
      );
    },
  });

  return {
    /**
     * Makes the running tunnels those of the list. An unchanged tunnel is not touched; a changed one keeps running until its replacement
     * is up. Calls run one after the other.
     */
    apply: (wanted: readonly TunnelSpec[]): Promise<Plan> =>
      oneAtATime(async () => {
        const plan = await inSlices(planChange(slots.wanted, wanted));
        courses.begin(wanted, (spec) => byName.has(spec.name) || hasServer(slots, spec));
        await applyNow(slots, courses.chosen(wanted), wanted);
        return plan;
      }),
    tunnels: (): readonly RunningTunnel[] => viewTunnels(slots),
    /** Ends the wait of this tunnel, or of all for null; the answer names those that waited. */
    retry: (name: string | null): readonly string[] => {
      const chosen = [...alive].filter((loop) => name === null || loop.spec.name === name);
      return [...new Set(chosen.filter((loop) => loop.retryNow()).map((loop) => loop.spec.name))];
    },
    /**
     * A new connection for every tunnel: one that is up runs until its replacement is up, one that is silent or lacks a listener ends
     * first, one that waits tries at once. Calls run one after the other, in one queue with those of apply().
     */
    reconnect: (): Promise<void> => oneAtATime(() => reconnectNow(slots)),
    /** Lets this tunnel take its listeners, though they led to another device: a person's decision. */
    take: (name: string): void => {
      for (const { spec } of alive) {
        if (!isMeant(spec.name, name)) continue;
        const owners = deps.device.owners(loginKey(spec));
        for (const listen of remoteListeners(spec)) owners.rememberOurs(listen);
      }
    },
    /** Calls `listener` after changes of tunnels' states: once for all changes of one tick of the event loop. */
    subscribe: (listener: () => void): void => void changes.subscribe(listener),
    /** Names of the tunnels whose loop has missed its heartbeat. */
    stuck: (): readonly string[] => [...alive].filter((loop) => loop.isStuck()).map((loop) => loop.spec.name),
    /** Ends all tunnels; resolves when the last one is disconnected. */
    stop: async (): Promise<void> => {
      slots.stopped = true;
      courses.stop();
      for (const { handover } of byName.values()) handover?.cancel();
      await Promise.all([...alive].map((loop) => loop.end()));
    },
  };
}

/** The new tunnels log in while those that end disconnect, and then listen. `chosen` are those of the wanted tunnels that are to run. */
async function applyNow(slots: Slots, chosen: readonly TunnelSpec[], wanted: readonly TunnelSpec[]): Promise<void> {
  const { byName } = slots;
  const before = [...byName.values()];
  const running = before.map(({ loop }) => loop.spec);
  const plan = await inSlices(planChange(running, chosen));
  const { keep, resume, start, end } = planReplacement(before, chosen, new Set(plan.unchanged));
  const kept = new Map<string, Slot>();
  for (const slot of before) {
    const { name } = slot.loop.spec;
    const previous = resume.has(name) ? undefined : keep.get(name);
    if (previous === undefined) slot.handover?.cancel();
    else kept.set(name, Object.assign(slot, { previous }));
  }
  byName.clear();
  slots.wanted = wanted;
  const ended = Promise.all(end.map((loop) => endInOwnTick(slots, loop)));
  for (const spec of chosen) {
    const { name } = spec;
    const same = resume.get(name);
    same?.listeners.resume([...spec.forwards.keys()]);
    const previous = keep.get(name) ?? [];
    const resumed = same && { loop: same, previous, handover: null, handoverTried: false, ready: ended };
    byName.set(name, kept.get(name) ?? resumed ?? startSlot(slots, spec, start.get(name) ?? [], ended));
  }
  // A tunnel that is up already has no event on which it would end what it replaces now.
  for (const slot of byName.values()) if (slot.previous.length > 0) advanceHandover(slots, slot);
  await ended;
  slots.changed();
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

/** What runs, in the order of the configuration, and the servers that do not have their tunnel at present. */
function viewTunnels({ byName, wanted, deps }: Slots): readonly RunningTunnel[] {
  const views = wanted.map((spec): RunningTunnel => {
    const slot = byName.get(spec.name);
    if (slot !== undefined) return { ...view(slot.loop), previous: slot.previous.map(view) };
    const now = deps.clock.now();
    const state = { ...initialState(spec, now), phase: 'stopped', retryAt: null } as const;
    return { spec, state, startedAt: now, previous: [], standby: true };
  });
  if (!wanted.some(({ redundancy }) => redundancy !== undefined)) return views;
  const well = new Map(views.filter(isWell).map(({ spec }) => [tunnelOf(spec.name), formatServer(spec)]));
  return views.map((one) => {
    const elsewhere = one.spec.redundancy === undefined || isWell(one) ? undefined : well.get(tunnelOf(one.spec.name));
    return elsewhere === undefined ? one : { ...one, elsewhere };
  });
}

/** Whether visitors reach their target through it. */
function isWell({ state: { phase, silentSince, forwards } }: Pick<RunningTunnel, 'state'>): boolean {
  return phase === 'up' && silentSince === null && !forwards.some(({ verified }) => verified === 'no');
}

/** Whether this server has the tunnel, under whatever name. */
function hasServer({ alive }: Slots, spec: TunnelSpec): boolean {
  return [...alive].some((loop) => isSameServer(loop.spec, spec) && isWell({ state: loop.state() }));
}

function isSameServer(one: TunnelSpec, other: TunnelSpec): boolean {
  return tunnelOf(one.name) === tunnelOf(other.name) && formatServer(one) === formatServer(other);
}

/** A predecessor that runs until the tunnel is up has it, where that is at the same server. */
function sightOf({ byName }: Slots, name: string): Sight {
  const slot = byName.get(name);
  if (slot === undefined) return { well: false, silentSince: null };
  const loops = [slot.loop, ...slot.previous.filter(({ spec }) => isSameServer(spec, slot.loop.spec))];
  const states = loops.map((loop) => loop.state());
  return { well: states.some((state) => isWell({ state })), silentSince: slot.loop.state().silentSince };
}

function view(loop: Loop): RunningTunnel {
  return { spec: loop.spec, state: loop.state(), startedAt: loop.startedAt, previous: [] };
}

import { isDeepStrictEqual } from 'node:util';
import { deferred } from '../lib/async/abort.ts';
import { inSlices, ownTurn } from '../lib/async/slices.ts';
import { createConnectionPool } from '../connection/shared/connection-pool.ts';
import type { TunnelSpec } from '../model/spec.ts';
import { remoteListeners } from '../forwarding/listeners/holdings.ts';
import { formatServer, type TunnelState } from '../model/state.ts';
import { borrow, type Loan } from './loan.ts';
import { startLoop, type Loop, type LoopDeps } from './tunnel-runner.ts';
import { planChange, type Plan } from './plan.ts';
import { conflicting, keepers, successionOf } from './predecessors.ts';

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

/** A tunnel of the configuration. */
interface Place {
  readonly loop: Loop;
  previous: readonly Loop[];
  loan: Loan | null;
  /** Whether its session has borrowed. */
  asked: boolean;
  /** Resolves when those that ended for it have said goodbye: the server gives a listener to one at a time. */
  readonly ready: Promise<unknown>;
}

export function createSupervisor(deps: Omit<LoopDeps, 'connections'>): Supervisor {
  const { clock } = deps;
  const connections = createConnectionPool();
  const places = new Map<string, Place>();
  const listeners = new Set<() => void>();
  /** All that have not said goodbye. */
  const alive = new Set<Loop>();
  let stopped = false;
  let telling: NodeJS.Immediate | null = null;
  let queue = Promise.resolve();

  /** Who runs is settled at once; the new ones log in while what ends says goodbye, and then listen. */
  async function applyNow(wanted: readonly TunnelSpec[]): Promise<Plan> {
    const before = [...places.values()];
    const running = before.map(({ loop }) => loop.spec);
    const plan = await inSlices(planChange(running, wanted));
    const unchanged = new Set(plan.unchanged);
    const stays = ({ loop }: Place) => unchanged.has(loop.spec.name);
    const goingOn = new Set(before.flatMap(loopsOf));
    const staying = new Map(before.filter(stays).map((place) => [place.loop.spec.name, place]));
    const kept = keepers(
      goingOn,
      wanted.filter(({ name }) => !unchanged.has(name)),
    );
    for (const [name, { loop }] of staying) kept.set(name, loop);
    const keptLoops = new Set(kept.values());
    const spare = (loops: readonly Loop[]) => loops.filter((loop) => !keptLoops.has(loop));
    const predecessors = successionOf(
      before.map((place) => (stays(place) ? { loop: null, previous: place.previous } : place)),
    );
    const heritage = (spec: TunnelSpec) => (kept.has(spec.name) ? [] : spare(predecessors(spec)).filter(hasWorked));
    const previous = new Map(wanted.map((spec) => [spec.name, heritage(spec)]));

    places.clear();
    for (const place of before) {
      if (stays(place)) place.previous = spare(place.previous);
      else place.loan?.giveBack();
    }
    const needed = new Set([
      ...kept.values(),
      ...before.filter(stays).flatMap(loopsOf),
      ...[...previous.values()].flat(),
    ]);
    const ended = Promise.all([...goingOn].filter((loop) => !needed.has(loop)).map(endInTurn));
    for (const spec of wanted) {
      places.set(
        spec.name,
        staying.get(spec.name) ?? fill(spec, kept.get(spec.name) ?? null, previous.get(spec.name)!, ended),
      );
    }
    await ended;
    changed();
    return plan;
  }

  async function reconnectNow(): Promise<void> {
    connections.retire();
    const renewed = [...places].map(async ([name, place]) => {
      const { loop, previous } = place;
      const { phase, silentSince } = loop.state();
      // One that is being connected is as fresh as can be.
      if (loop.retryNow() || previous.length > 0 || (phase !== 'up' && phase !== 'forwarding')) return;
      const goesOn = phase === 'up' && silentSince === null;
      if (!goesOn) await end(loop);
      const next = fill(loop.spec, null, goesOn ? [loop] : [], Promise.resolve());
      // A reload waits its turn; only the tunnel itself may have ended.
      places.set(name, next);
    });
    await Promise.all(renewed);
    changed();
  }

  /** To go back to one that still goes on is no new start, and what it has lent is its own again. */
  function fill(spec: TunnelSpec, same: Loop | null, previous: readonly Loop[], ready: Promise<unknown>): Place {
    if (same === null) return { loop: start(spec), previous, loan: null, asked: false, ready };
    same.lending.takeBack([...spec.forwards.keys()]);
    return { loop: same, previous: [], loan: null, asked: false, ready };
  }

  function start(spec: TunnelSpec): Loop {
    const loop = startLoop(spec, { ...deps, connections }, { onChange, beforeListening });
    alive.add(loop);
    if (stopped) void loop.end();
    return loop;
  }

  async function endInTurn(loop: Loop): Promise<void> {
    await ownTurn();
    await end(loop);
  }

  async function end(loop: Loop): Promise<void> {
    await loop.end();
    alive.delete(loop);
  }

  function onChange(loop: Loop): void {
    const place = places.get(loop.spec.name);
    if (place?.loop === loop) handOver(place);
    else if (place !== undefined) letGoOfSpent(place, loop);
    changed();
  }

  /** One that is only to be renewed is as well served by the new one as soon as its session has ended: two would knock for one. */
  function letGoOfSpent(place: Place, old: Loop): void {
    const isSpent = !['up', 'forwarding'].includes(old.state().phase);
    if (!isSpent || !place.previous.includes(old) || !isDeepStrictEqual(old.spec, place.loop.spec)) return;
    place.previous = place.previous.filter((one) => one !== old);
    void end(old);
  }

  /** The old ones end when the new one has all that was theirs, and get back what they lent when it fails. */
  function handOver(place: Place): void {
    const { phase, forwards } = place.loop.state();
    if (phase === 'up' && hasInherited(place)) {
      place.loan?.keep();
      const { previous } = place;
      Object.assign(place, { previous: [], loan: null });
      for (const old of previous.filter((one) => !lenders().includes(one))) {
        deps.log.info({ tunnel: old.spec.name }, 'the tunnel as it was before ends: the new one is up');
        void old.retire().then(() => alive.delete(old));
      }
    } else if (phase !== 'forwarding' && phase !== 'up') {
      place.loan?.giveBack();
      Object.assign(place, { loan: null, asked: false });
    } else if (!place.asked && forwards.some(({ state }) => state === 'refused')) {
      place.loan = borrow(place.loop, lenders(), 'any', clock);
      place.asked = place.loan !== null;
    }
  }

  async function beforeListening(loop: Loop): Promise<void> {
    const place = places.get(loop.spec.name);
    if (place?.loop !== loop) return;
    await place.ready;
    if (place.asked) return;
    place.loan = borrow(loop, lenders(), 'same', clock);
    place.asked = place.loan !== null;
    await place.loan?.ready;
  }

  const lenders = () => [...places.values()].flatMap(({ previous }) => previous);

  /** Once in a turn of the event loop: a thousand tunnels change together, and who is told looks at them all. */
  function changed(): void {
    telling ??= setImmediate(() => {
      telling = null;
      for (const listener of listeners) listener();
    });
  }

  return {
    apply: (wanted) => {
      const answer = deferred<Plan>();
      queue = queue.then(() => applyNow(wanted).then(answer.resolve, answer.reject));
      return answer.promise;
    },
    tunnels: () => [...places.values()].map(({ loop, previous }) => ({ ...view(loop), previous: previous.map(view) })),
    retry: (name) => {
      const chosen = [...alive].filter((loop) => name === null || loop.spec.name === name);
      return [...new Set(chosen.filter((loop) => loop.retryNow()).map((loop) => loop.spec.name))];
    },
    reconnect: () => {
      const done = queue.then(reconnectNow);
      queue = done.catch(() => {});
      return done;
    },
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
      stopped = true;
      for (const { loan } of places.values()) loan?.giveBack();
      await Promise.all([...alive].map((loop) => loop.end()));
    },
  };
}

/** Nobody misses what never worked. */
function hasWorked(loop: Loop): boolean {
  return loop.state().lastUp !== null;
}

function loopsOf({ loop, previous }: Place): readonly Loop[] {
  return [loop, ...previous];
}

/** Whether it has every listener that those before it have, or had. */
function hasInherited({ loop, previous }: Place): boolean {
  const { forwards } = loop.state();
  const inherited = previous.flatMap((old) => conflicting(loop.spec, old.spec, 'any'));
  return inherited.every((index) => forwards[index]?.state === 'up');
}

function view(loop: Loop): RunningTunnel {
  return { spec: loop.spec, state: loop.state(), startedAt: loop.startedAt, previous: [] };
}

import { isDeepStrictEqual } from 'node:util';
import { deferred } from '../lib/abort.ts';
import type { TunnelSpec } from '../tunnel/spec.ts';
import type { TunnelState } from '../tunnel/state.ts';
import { borrow, type Loan } from './handover.ts';
import { startLoop, type Loop, type LoopDeps } from './loop.ts';
import { planChange, type Plan } from './plan.ts';
import { successions } from './succession.ts';

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
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  /** Those that go on until this one is up, because it replaces them. */
  readonly previous: readonly RunningTunnel[];
}

/** A tunnel of the configuration. */
interface Place {
  readonly loop: Loop;
  previous: readonly Loop[];
  loan: Loan | null;
  /** Whether its session has borrowed, or asked in vain. */
  asked: boolean;
}

export function createSupervisor(deps: LoopDeps): Supervisor {
  const { clock } = deps;
  const places = new Map<string, Place>();
  const listeners = new Set<() => void>();
  /** All that have not said goodbye. */
  const alive = new Set<Loop>();
  let stopped = false;
  let order: readonly string[] = [];
  let queue = Promise.resolve();

  async function applyNow(wanted: readonly TunnelSpec[]): Promise<Plan> {
    const running = [...places.values()].map(({ loop }) => loop.spec);
    const plan = planChange(running, wanted);
    const replaced = successions(plan, running, wanted);
    const heirs = new Set([...replaced.values()].flat());
    // What ends goes first: a listener may have moved to another tunnel, and the server gives it to one at a time.
    await Promise.all(plan.removed.filter((name) => !heirs.has(name)).map(remove));
    for (const spec of wanted) {
      if (!plan.unchanged.includes(spec.name)) await succeed(spec, replaced.get(spec.name) ?? []);
    }
    order = wanted.map((spec) => spec.name);
    changed();
    return plan;
  }

  async function remove(name: string): Promise<void> {
    const place = places.get(name)!;
    places.delete(name);
    place.loan?.giveBack();
    await Promise.all([place.loop, ...place.previous].map(end));
  }

  /** Puts a tunnel in the place of others. To go back to one that still goes on is no new start. */
  async function succeed(spec: TunnelSpec, names: readonly string[]): Promise<void> {
    const olds = names.map((name) => places.get(name)!);
    const candidates = olds.flatMap(({ loop, previous }) => [loop, ...previous]);
    const same = candidates.find((loop) => isDeepStrictEqual(loop.spec, spec));
    const kept = same === undefined ? candidates.filter(hasWorked) : [same];
    await Promise.all(candidates.filter((loop) => !kept.includes(loop)).map(end));
    for (const { loan } of olds) loan?.giveBack();
    for (const name of names) places.delete(name);
    const loop = same ?? start(spec);
    places.set(spec.name, { loop, previous: same === undefined ? kept : [], loan: null, asked: false });
  }

  function start(spec: TunnelSpec): Loop {
    const loop = startLoop(spec, deps, { onChange, beforeListening });
    alive.add(loop);
    if (stopped) void loop.end();
    return loop;
  }

  async function end(loop: Loop): Promise<void> {
    await loop.end();
    alive.delete(loop);
  }

  function onChange(loop: Loop): void {
    const place = places.get(loop.spec.name);
    if (place?.loop === loop && place.previous.length > 0) handOver(place);
    changed();
  }

  /** The old ones end when the new one is up, and get back what they lent when it fails. */
  function handOver(place: Place): void {
    const { phase, forwards } = place.loop.state();
    if (phase === 'up') {
      place.loan?.keep();
      const { previous } = place;
      Object.assign(place, { previous: [], loan: null });
      for (const old of previous) {
        deps.log.info({ tunnel: old.spec.name }, 'the tunnel as it was before ends: the new one is up');
        void end(old);
      }
    } else if (phase !== 'forwarding') {
      place.loan?.giveBack();
      Object.assign(place, { loan: null, asked: false });
    } else if (!place.asked && forwards.some(({ state }) => state === 'refused')) {
      place.asked = true;
      place.loan = borrow(place.loop, lenders(), 'any', clock);
    }
  }

  async function beforeListening(loop: Loop): Promise<void> {
    const place = places.get(loop.spec.name);
    if (place?.loop !== loop || place.asked) return;
    place.loan = borrow(loop, lenders(), 'same', clock);
    place.asked = place.loan !== null;
    await place.loan?.ready;
  }

  const lenders = () => [...places.values()].flatMap(({ previous }) => previous);

  function changed(): void {
    for (const listener of listeners) listener();
  }

  return {
    apply: (wanted) => {
      const answer = deferred<Plan>();
      queue = queue.then(() => applyNow(wanted).then(answer.resolve, answer.reject));
      return answer.promise;
    },
    tunnels: () =>
      order
        .flatMap((name) => places.get(name) ?? [])
        .map(({ loop, previous }) => ({ ...view(loop), previous: previous.map(view) })),
    retry: (name) => {
      const chosen = [...alive].filter((loop) => name === null || loop.spec.name === name);
      return [...new Set(chosen.filter((loop) => loop.retryNow()).map((loop) => loop.spec.name))];
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

function view(loop: Loop): RunningTunnel {
  return { spec: loop.spec, state: loop.state(), startedAt: loop.startedAt, previous: [] };
}

import { isDeepStrictEqual } from 'node:util';
import type { TunnelSpec } from '../model/spec.ts';
import type { TunnelState } from '../model/state.ts';
import { borrow, type Loan } from './loan.ts';
import { conflicting } from './replacement.ts';
import { startLoop, type Loop, type LoopDeps } from './tunnel-runner.ts';

/** A tunnel of the configuration. */
export interface Place {
  readonly loop: Loop;
  /** Those that go on until it is up, because it replaces them. */
  previous: readonly Loop[];
  loan: Loan | null;
  /** Whether its session has borrowed. */
  asked: boolean;
  /** Resolves when those that ended for it have said goodbye: the server gives a listener to one at a time. */
  readonly ready: Promise<unknown>;
}

/** All the tunnels that run. */
export interface Fleet {
  readonly deps: LoopDeps;
  /** By the names of the configuration. */
  readonly places: Map<string, Place>;
  /** All that have not said goodbye. */
  readonly alive: Set<Loop>;
  stopped: boolean;
  /** To be called when anything that status shows has changed. */
  changed(): void;
}

/** Starts one that may be up before those that it replaces end; it does not listen before `ready`. */
export function startPlace(fleet: Fleet, spec: TunnelSpec, previous: readonly Loop[], ready: Promise<unknown>): Place {
  const loop = startLoop(spec, fleet.deps, {
    onChange: (changed) => onChange(fleet, changed),
    beforeListening: (waiting) => beforeListening(fleet, waiting),
  });
  fleet.alive.add(loop);
  if (fleet.stopped) void loop.end();
  return { loop, previous, loan: null, asked: false, ready };
}

export async function endLoop({ alive }: Fleet, loop: Loop): Promise<void> {
  await loop.end();
  alive.delete(loop);
}

function onChange(fleet: Fleet, loop: Loop): void {
  const place = fleet.places.get(loop.spec.name);
  if (place?.loop === loop) handOver(fleet, place);
  else if (place !== undefined) letGoOfSpent(fleet, place, loop);
  fleet.changed();
}

/** One that is only to be renewed is as well served by the new one as soon as its session has ended: two would knock for one. */
function letGoOfSpent(fleet: Fleet, place: Place, old: Loop): void {
  const isSpent = !['up', 'forwarding'].includes(old.state().phase);
  if (!isSpent || !place.previous.includes(old) || !isDeepStrictEqual(old.spec, place.loop.spec)) return;
  place.previous = place.previous.filter((one) => one !== old);
  void endLoop(fleet, old);
}

/** The old ones end when the new one has all that was theirs, and get back what they lent when it fails. */
function handOver(fleet: Fleet, place: Place): void {
  const { loop, previous, asked } = place;
  switch (judgeHandover(loop.spec, loop.state(), previous, asked)) {
    case 'complete':
      place.loan?.keep();
      Object.assign(place, { previous: [], loan: null });
      for (const old of previous.filter((one) => !lenders(fleet).includes(one))) {
        fleet.deps.log.info({ tunnel: old.spec.name }, 'the tunnel as it was before ends: the new one is up');
        void old.retire().then(() => fleet.alive.delete(old));
      }
      break;
    case 'give-back':
      place.loan?.giveBack();
      Object.assign(place, { loan: null, asked: false });
      break;
    case 'borrow':
      borrowFor(fleet, place, 'any');
      break;
    case 'wait':
      break;
  }
}

/**
 * Where the handover to a tunnel stands: complete when it is up with every listener that those before it have, or had; a refused
 * listener is borrowed once in a session, and its failure gives back what it has borrowed.
 */
export function judgeHandover(
  spec: TunnelSpec,
  { phase, forwards }: Pick<TunnelState, 'phase' | 'forwards'>,
  previous: readonly { readonly spec: TunnelSpec }[],
  asked: boolean,
): 'complete' | 'give-back' | 'borrow' | 'wait' {
  if (phase !== 'forwarding' && phase !== 'up') return 'give-back';
  const inherited = previous.flatMap((old) => conflicting(spec, old.spec, 'any'));
  if (phase === 'up' && inherited.every((index) => forwards[index]?.state === 'up')) return 'complete';
  return !asked && forwards.some(({ state }) => state === 'refused') ? 'borrow' : 'wait';
}

async function beforeListening(fleet: Fleet, loop: Loop): Promise<void> {
  const place = fleet.places.get(loop.spec.name);
  if (place?.loop !== loop) return;
  await place.ready;
  if (place.asked) return;
  borrowFor(fleet, place, 'same');
  await place.loan?.ready;
}

function borrowFor(fleet: Fleet, place: Place, server: 'same' | 'any'): void {
  place.loan = borrow(place.loop, lenders(fleet), server, fleet.deps.clock);
  place.asked = place.loan !== null;
}

function lenders({ places }: Fleet): readonly Loop[] {
  return [...places.values()].flatMap(({ previous }) => previous);
}

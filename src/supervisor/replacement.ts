import { isDeepStrictEqual } from 'node:util';
import { tunnelOf } from '../model/redundancy.ts';
import type { TunnelSpec } from '../model/spec.ts';
import type { TunnelState } from '../model/state.ts';
import { groupBy } from '../lib/maps.ts';
import { conflicting, listenerKey } from './conflicts.ts';

/** A tunnel that runs. */
interface Running {
  readonly spec: TunnelSpec;
  state(): Pick<TunnelState, 'lastUp'>;
}

/** A tunnel of the configuration, and its predecessors, which run until it is up. */
interface Position<T> {
  readonly loop: T;
  readonly previous: readonly T[];
}

/** What happens to the running tunnels, and which are started; by the names of the configuration. */
export interface Replacement<T> {
  /** Unchanged tunnels, with the predecessors that each keeps; and of the resumed ones those that have any. */
  readonly keep: ReadonlyMap<string, readonly T[]>;
  /** Predecessors that are wanted again just as they were: they are not started anew. */
  readonly resume: ReadonlyMap<string, T>;
  /** New tunnels, with the predecessors that run until each is up. A tunnel that was never up is not kept beside its replacement. */
  readonly start: ReadonlyMap<string, readonly T[]>;
  readonly end: readonly T[];
}

/** `unchanged` are the names of the tunnels that run just as they are wanted. */
export function planReplacement<T extends Running>(
  running: readonly Position<T>[],
  wanted: readonly TunnelSpec[],
  unchanged: ReadonlySet<string>,
): Replacement<T> {
  const all = new Set(running.flatMap(({ loop, previous }) => [loop, ...previous]));
  const changes = wanted.filter(({ name }) => !unchanged.has(name));
  const stays = ({ loop }: Position<T>) => unchanged.has(loop.spec.name);
  const staying = running.filter(stays);
  const resume = stillRunning(all, changes);
  const taken = new Set([...staying.map(({ loop }) => loop), ...resume.values()]);
  const spare = (loops: readonly T[]) => loops.filter((loop) => !taken.has(loop));
  const keep = new Map(staying.map(({ loop, previous }) => [loop.spec.name, spare(previous)]));
  const predecessors = predecessorsIn(
    running.map((position) => (stays(position) ? { loop: null, previous: position.previous } : position)),
  );
  const replaced = (spec: TunnelSpec) => spare(predecessors(spec)).filter((loop) => loop.state().lastUp !== null);
  const fresh = changes.filter(({ name }) => !resume.has(name));
  const start = new Map(fresh.map((spec) => [spec.name, replaced(spec)]));
  keepServers(all, taken, wanted, keep, start, [...resume.keys()]);
  const needed = new Set([...taken, ...[...keep.values(), ...start.values()].flat()]);
  return { keep, resume, start, end: [...all].filter((loop) => !needed.has(loop)) };
}

/**
 * A tunnel that loses one of its servers keeps it until it is up at another: beside the last of those that start, or else of those that
 * run. Changes `keep` and `start`.
 */
function keepServers<T extends Running>(
  all: ReadonlySet<T>,
  taken: ReadonlySet<T>,
  wanted: readonly TunnelSpec[],
  keep: Map<string, readonly T[]>,
  start: Map<string, readonly T[]>,
  resumed: readonly string[],
): void {
  const names = new Set(wanted.map(({ name }) => name));
  const replacing = new Set([...keep.values(), ...start.values()].flat());
  const replacements = new Map([...resumed, ...keep.keys(), ...start.keys()].map((name) => [tunnelOf(name), name]));
  for (const loop of all) {
    if (taken.has(loop) || replacing.has(loop) || names.has(loop.spec.name) || loop.state().lastUp === null) continue;
    const replacement = replacements.get(tunnelOf(loop.spec.name));
    if (replacement === undefined) continue;
    const list = start.has(replacement) ? start : keep;
    list.set(replacement, [...(list.get(replacement) ?? []), loop]);
  }
}

/** The running tunnels, predecessors included, that are just as they are wanted, by name. */
function stillRunning<T extends Running>(running: Iterable<T>, wanted: readonly TunnelSpec[]): Map<string, T> {
  const named = groupBy(running, ({ spec }) => spec.name);
  const found = new Map<string, T>();
  for (const spec of wanted) {
    const same = named.get(spec.name)?.find((loop) => isDeepStrictEqual(loop.spec, spec));
    if (same !== undefined) found.set(spec.name, same);
  }
  return found;
}

/**
 * The predecessors of a new tunnel: the one of its name, and those that had one of its listeners (a tunnel with a new name, two that
 * became one, two that swapped), each with its own predecessors. `loop` is null where that tunnel is unchanged.
 */
function predecessorsIn<T extends Running>(
  positions: readonly { readonly loop: T | null; readonly previous: readonly T[] }[],
): (next: TunnelSpec) => readonly T[] {
  // A reload of a thousand tunnels does not compare each with each.
  const named = new Map<string, number>();
  const heldBy = new Map<string, number[]>();
  for (const [index, { loop, previous }] of positions.entries()) {
    if (loop !== null) named.set(loop.spec.name, index);
    for (const { spec } of loop === null ? previous : [loop, ...previous])
      for (const key of spec.forwards.map(listenerKey)) heldBy.set(key, [...(heldBy.get(key) ?? []), index]);
  }
  return (next) => {
    const conflicts = ({ spec }: T) => conflicting(spec, next, 'any').length > 0;
    const holders = next.forwards.flatMap((forward) => heldBy.get(listenerKey(forward)) ?? []);
    const found = new Set([named.get(next.name) ?? [], holders].flat());
    const predecessors = [...found]
      .toSorted((a, b) => a - b)
      .flatMap((index) => {
        const { loop, previous } = positions[index]!;
        const whole = loop !== null && (loop.spec.name === next.name || conflicts(loop));
        return whole ? [loop, ...previous] : previous.filter(conflicts);
      });
    return [...new Set(predecessors)];
  };
}

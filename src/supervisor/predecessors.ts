import { isDeepStrictEqual } from 'node:util';
import type { Endpoint, ForwardSpec, TunnelSpec } from '../model/spec.ts';

/** A tunnel and those that it replaces; null where it stays as it is. */
interface Retiring<T> {
  readonly loop: T | null;
  readonly previous: readonly T[];
}

/** Which tunnels that run are just as they are wanted, by name. */
export function keepers<T extends { readonly spec: TunnelSpec }>(
  running: Iterable<T>,
  wanted: readonly TunnelSpec[],
): Map<string, T> {
  const named = new Map<string, T[]>();
  for (const loop of running) named.set(loop.spec.name, [...(named.get(loop.spec.name) ?? []), loop]);
  const kept = new Map<string, T>();
  for (const spec of wanted) {
    const same = named.get(spec.name)?.find((loop) => isDeepStrictEqual(loop.spec, spec));
    if (same !== undefined) kept.set(spec.name, same);
  }
  return kept;
}

/**
 * What a new tunnel replaces: the one of its name, and those that had one of its listeners (a tunnel with a new name, two that
 * became one, two that changed places), each with what it replaces itself.
 */
export function successionOf<T extends { readonly spec: TunnelSpec }>(
  retiring: readonly Retiring<T>[],
): (next: TunnelSpec) => readonly T[] {
  // A reload of a thousand tunnels does not compare each with each.
  const named = new Map<string, number>();
  const heldBy = new Map<string, number[]>();
  for (const [index, { loop, previous }] of retiring.entries()) {
    if (loop !== null) named.set(loop.spec.name, index);
    for (const { spec } of loop === null ? previous : [loop, ...previous])
      for (const place of spec.forwards.map(placeOf)) heldBy.set(place, [...(heldBy.get(place) ?? []), index]);
  }
  return (next) => {
    const isHeir = ({ spec }: T) => conflicting(spec, next, 'any').length > 0;
    const holders = next.forwards.flatMap((forward) => heldBy.get(placeOf(forward)) ?? []);
    const found = new Set([named.get(next.name) ?? [], holders].flat());
    const inherited = [...found]
      .toSorted((a, b) => a - b)
      .flatMap((index) => {
        const { loop, previous } = retiring[index]!;
        if (loop === null) return previous.filter(isHeir);
        return loop.spec.name === next.name || isHeir(loop) ? [loop, ...previous] : previous.filter(isHeir);
      });
    return [...new Set(inherited)];
  };
}

/** Forwards that collide have the same. */
function placeOf({ kind, listen }: ForwardSpec): string {
  return `${kind === 'remote'} ${listen.type === 'unix' ? listen.path : listen.port}`;
}

/**
 * Indices of the forwards of `old` whose listeners `next` wants as well. One port is taken for one listener whatever the address: what
 * overlaps is the server's secret. `any` does not look at the server's name either, because one server may have two.
 */
export function conflicting(old: TunnelSpec, next: TunnelSpec, server: 'same' | 'any'): readonly number[] {
  const sameServer = server === 'any' || (old.host === next.host && old.port === next.port);
  return [...old.forwards.entries()]
    .filter(([, mine]) => next.forwards.some((theirs) => collide(mine, theirs, sameServer)))
    .map(([index]) => index);
}

function collide(mine: ForwardSpec, theirs: ForwardSpec, sameServer: boolean): boolean {
  const remote = mine.kind === 'remote';
  if (remote !== (theirs.kind === 'remote') || (remote && !sameServer)) return false;
  return samePlace(mine.listen, theirs.listen);
}

function samePlace(one: Endpoint, other: Endpoint): boolean {
  if (one.type === 'unix' || other.type === 'unix')
    return one.type === 'unix' && other.type === 'unix' && one.path === other.path;
  return one.port === other.port && one.port !== 0;
}

import type { Endpoint, ForwardSpec, TunnelSpec } from '../tunnel/spec.ts';
import type { Plan } from './plan.ts';

/**
 * Which running tunnels each new one replaces: the one of its name, and those that go and had one of its listeners (a tunnel with
 * a new name, two that became one). Each is replaced by one at most.
 */
export function successions(
  { added, changed, removed }: Plan,
  running: readonly TunnelSpec[],
  wanted: readonly TunnelSpec[],
): ReadonlyMap<string, readonly string[]> {
  const going = running.filter(({ name }) => removed.includes(name));
  const taken = new Set<string>();
  return new Map(
    wanted
      .filter(({ name }) => added.includes(name) || changed.includes(name))
      .map((next) => {
        const others = going.filter((old) => !taken.has(old.name) && conflicting(old, next, 'any').length > 0);
        for (const { name } of others) taken.add(name);
        return [next.name, [...(changed.includes(next.name) ? [next.name] : []), ...others.map(({ name }) => name)]];
      }),
  );
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

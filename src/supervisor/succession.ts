import type { Endpoint, ForwardSpec, TunnelSpec } from '../tunnel/spec.ts';

/** A tunnel and those that it replaces; null where it stays as it is. */
interface Retiring<T> {
  readonly loop: T | null;
  readonly previous: readonly T[];
}

/**
 * What a new tunnel replaces: the one of its name, and those that had one of its listeners (a tunnel with a new name, two that
 * became one, two that changed places), each with what it replaces itself.
 */
export function predecessors<T extends { readonly spec: TunnelSpec }>(
  next: TunnelSpec,
  retiring: readonly Retiring<T>[],
): readonly T[] {
  const isHeir = ({ spec }: T) => conflicting(spec, next, 'any').length > 0;
  const found = retiring.flatMap(({ loop, previous }) =>
    loop !== null && (loop.spec.name === next.name || isHeir(loop)) ? [loop, ...previous] : previous.filter(isHeir),
  );
  return [...new Set(found)];
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

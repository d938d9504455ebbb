import { tunnelOf } from '../model/redundancy.ts';
import type { ForwardSpec, TunnelSpec } from '../model/spec.ts';

/**
 * Indices of the forwards of `old` whose listeners `next` wants as well. Two listeners with one port collide whatever their addresses:
 * which of those overlap is not known here. `any` ignores the server's name too, because one server may have two; not
 * between the servers of one tunnel.
 */
export function conflicting(old: TunnelSpec, next: TunnelSpec, server: 'same' | 'any'): readonly number[] {
  const isElsewhere = old.name !== next.name && tunnelOf(old.name) === tunnelOf(next.name);
  const sameServer = (server === 'any' && !isElsewhere) || (old.host === next.host && old.port === next.port);
  return [...old.forwards.entries()]
    .filter(([, mine]) => next.forwards.some((theirs) => collide(mine, theirs, sameServer)))
    .map(([index]) => index);
}

function collide(mine: ForwardSpec, theirs: ForwardSpec, sameServer: boolean): boolean {
  // The server chooses port 0, each time another one.
  const isChosen = mine.listen.type === 'tcp' && mine.listen.port === 0;
  return listenerKey(mine) === listenerKey(theirs) && !isChosen && (mine.kind !== 'remote' || sameServer);
}

/** Forwards that collide have the same key: so they are found among a thousand tunnels. */
export function listenerKey({ kind, listen }: ForwardSpec): string {
  return `${kind === 'remote'} ${listen.type} ${listen.type === 'unix' ? listen.path : listen.port}`;
}

import { tunnelOf } from '../model/redundancy.ts';
import type { RunningTunnel } from './supervisor.ts';
import { groupBy } from '../lib/maps.ts';

/**
 * The tunnels of the file: of one with several servers the one for the server that has it, with the tunnel's name; where none has it, the
 * one that has been tried for longest.
 */
export function wholeTunnels(tunnels: readonly RunningTunnel[]): readonly RunningTunnel[] {
  if (tunnels.every(({ spec }) => spec.redundancy === undefined)) return tunnels;
  return [...groupBy(tunnels, ({ spec }) => tunnelOf(spec.name))].map(([name, members]) => {
    const best = members.reduce((first, one) => (rank(one) > rank(first) ? one : first));
    return members.length === 1 ? best : { ...best, spec: { ...best.spec, name }, members };
  });
}

function rank({ standby, elsewhere, state }: RunningTunnel): number {
  if (standby === true) return 0;
  if (elsewhere !== undefined) return 1;
  return state.phase === 'up' ? 3 : 2;
}

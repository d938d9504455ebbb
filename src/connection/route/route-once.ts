import { asFailure } from '../../model/failure.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import { dial } from '../../net/dial.ts';
import { firstHop, serverBehindProxy } from '../../net/first-hop.ts';
import type { Turn } from '../../net/pacing/turns.ts';
import { prepareRoute, type RouteDeps } from './route.ts';

/** The route of a command. */
export type RouteOnce = Awaited<ReturnType<typeof openRouteOnce>>;

/**
 * Opens the route to a server for a command, which connects once and from any port. Its turn, null for a proxyCommand, ends with it.
 * Rejects with a TunnelFailure.
 */
export async function openRouteOnce(
  spec: TunnelSpec,
  deps: Pick<RouteDeps, 'clock' | 'log' | 'identities' | 'device'>,
  signal: AbortSignal,
) {
  const taken: { turn: Turn | null } = { turn: null };
  const open = await prepareRoute(spec, {
    ...deps,
    reach: async () => {
      const first = firstHop(spec);
      const { connectTimeoutMs: leftMs } = first;
      const dialDeps = { clock: deps.clock, turns: deps.device.turns, behindProxy: serverBehindProxy(spec) };
      const dialled = await dial(first, leftMs, dialDeps, signal);
      taken.turn = dialled.turn;
      return { ...dialled, leftMs };
    },
    heartbeat: () => {},
    onSourcePort: () => {},
  });
  try {
    const route = await open(signal);
    const destroy = async () => {
      await route.destroy();
      taken.turn?.end();
    };
    return { ...route, turn: taken.turn, destroy };
  } catch (error) {
    taken.turn?.notAccepted(asFailure(error));
    taken.turn?.end();
    throw error;
  }
}

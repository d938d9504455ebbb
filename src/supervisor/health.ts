import type { TunnelState } from '../tunnel/state.ts';

/** The daemon in one word: see the contract of `tunneld status`. */
export type Health = 'ok' | 'degraded' | 'failed';

/** Down for no longer than this is a blip that nobody need be told of, in milliseconds. */
const PATIENCE_MS = 60_000;

/** `startedAt` counts as the last time up for a tunnel that never was; all times are milliseconds since 1970. */
export function assessHealth(tunnels: readonly TunnelState[], startedAt: number, wall: number): Health {
  const healths = tunnels.map((tunnel) => assessTunnel(tunnel, startedAt, wall));
  if (healths.includes('failed')) return 'failed';
  return healths.includes('degraded') ? 'degraded' : 'ok';
}

export function assessTunnel(tunnel: TunnelState, startedAt: number, wall: number): Health {
  if (tunnel.phase === 'blocked') return 'failed';
  if (tunnel.phase !== 'up') return wall - (tunnel.lastUp ?? startedAt) > PATIENCE_MS ? 'failed' : 'ok';
  const troubled = tunnel.forwards.some((forward) => forward.state !== 'up' || forward.targetFailure !== null);
  return troubled ? 'degraded' : 'ok';
}

import type { ConfigurationStanding } from './status.ts';
import type { RunningTunnel } from './supervisor.ts';

/** The daemon in one word: see the contract of `tunneld status`. */
export type Health = 'ok' | 'degraded' | 'failed';

/** Down for no longer than this is a blip that nobody need be told of, in milliseconds. */
const PATIENCE_MS = 60_000;

/** A configuration file that is not valid is a trouble that waits for the next start. */
export function assessHealth(
  tunnels: readonly RunningTunnel[],
  { problem }: ConfigurationStanding,
  wall: number,
): Health {
  const healths = [...tunnels.map((tunnel) => assessTunnel(tunnel, wall)), problem === null ? 'ok' : 'degraded'];
  if (healths.includes('failed')) return 'failed';
  return healths.includes('degraded') ? 'degraded' : 'ok';
}

/** The start counts as the last time up for a tunnel that never was. One that is not up, while what it replaces is, is degraded. */
export function assessTunnel({ state, startedAt, previous }: RunningTunnel, wall: number): Health {
  if (state.phase !== 'up') {
    const patient = state.phase !== 'blocked' && wall - (state.lastUp ?? startedAt) <= PATIENCE_MS;
    if (patient) return 'ok';
    return previous.some((old) => old.state.phase === 'up') ? 'degraded' : 'failed';
  }
  const troubled = state.forwards.some((forward) => forward.state !== 'up' || forward.targetFailure !== null);
  return troubled ? 'degraded' : 'ok';
}

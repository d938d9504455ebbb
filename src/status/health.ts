import type { ForwardState, TunnelState } from '../model/state.ts';
import type { RunningTunnel } from '../supervisor/supervisor.ts';

/** The daemon in one word: see the contract of `tunneld status`. */
export type Health = 'ok' | 'degraded' | 'failed';

/** A shorter outage is no reason to worry, in milliseconds. */
const PATIENCE_MS = 60_000;

/** A configuration file that is not valid will be a problem at the next start. */
export function assessHealth(tunnels: readonly RunningTunnel[], { problem }: ConfigurationState, now: number): Health {
  const healths = [...tunnels.map((tunnel) => assessTunnel(tunnel, now)), problem === null ? 'ok' : 'degraded'];
  if (healths.includes('failed')) return 'failed';
  return healths.includes('degraded') ? 'degraded' : 'ok';
}

/** A tunnel that never was up counts from its start. One that is not up, while its predecessor or another server is, is degraded. */
export function assessTunnel(tunnel: RunningTunnel, now: number): Health {
  const { spec, state, startedAt, previous, standby, elsewhere } = tunnel;
  if (standby === true) return 'ok';
  if (state.phase !== 'up') {
    const patient = state.phase !== 'blocked' && now - (state.lastUp ?? startedAt) <= PATIENCE_MS;
    if (patient) return isSeenToFail(state) ? 'degraded' : 'ok';
    return elsewhere !== undefined || previous.some((old) => old.state.phase === 'up') ? 'degraded' : 'failed';
  }
  const unproven = ({ spec: { kind }, verified }: ForwardState) => kind === 'remote' && verified !== 'yes';
  const troubled = state.forwards.some(
    (forward) =>
      forward.state !== 'up' ||
      forward.targetFailure !== null ||
      forward.misplaced ||
      (spec.verify === 'required' && unproven(forward)),
  );
  return troubled || state.certificateProblem !== null ? 'degraded' : 'ok';
}

/** A refusal is not a short outage, and neither is a failure of a tunnel that never was up. */
function isSeenToFail({ lastUp, failure, forwards }: TunnelState): boolean {
  return forwards.some(({ state }) => state === 'refused') || (lastUp === null && failure !== null);
}

/** Whether the running configuration is what its file has. Times are of the monotonic clock, in milliseconds. */
export interface ConfigurationState {
  readonly problem: { readonly message: string; readonly at: number } | null;
  readonly trial: { readonly candidate: string; readonly until: number; readonly waitingFor: readonly string[] } | null;
}

import { initialState, type ForwardState, type TunnelState } from '../../src/model/state.ts';
import type { TunnelSpec } from '../../src/model/spec.ts';
import type { RunningTunnel } from '../../src/supervisor/supervisor.ts';
import { plainSpec } from './tunnel.ts';

/** A tunnel with one remote forward, as the supervisor shows it. */
export function runningTunnel(
  name: string,
  state: Partial<TunnelState>,
  forward: Partial<ForwardState> = {},
  changes: Partial<TunnelSpec> = {},
): RunningTunnel {
  const listen = { type: 'tcp', host: 'localhost', port: 8080 } as const;
  const target = { type: 'tcp', host: 'localhost', port: 22 } as const;
  const spec: TunnelSpec = { ...plainSpec(), name, forwards: [{ kind: 'remote', listen, target }], ...changes };
  const initial = initialState(spec, 0);
  const forwards = initial.forwards.map((each) => ({ ...each, ...forward }));
  return { spec, state: { ...initial, retryAt: null, ...state, forwards } as TunnelState, startedAt: 0, previous: [] };
}

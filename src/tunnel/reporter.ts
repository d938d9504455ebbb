import type { Clock } from '../lib/async/clock.ts';
import type { Logger } from '../lib/log/log.ts';
import { hintFor } from '../model/failure.ts';
import type { TunnelSpec } from '../model/spec.ts';
import { formatListen, formatServer, NOT_ASKED, type ForwardState, type TunnelState } from '../model/state.ts';

/** Changes a tunnel's state. */
export interface Reporter {
  report(change: Partial<TunnelState>): void;
  reportForward(index: number, change: Partial<ForwardState>): void;
  /** Nothing of the session is there any more. */
  sessionOver(): void;
}

interface ReporterDeps {
  readonly clock: Clock;
  readonly log: Logger;
  state(): TunnelState;
  setState(next: TunnelState): void;
}

/** The one place where a tunnel's state changes: keeps `since` and `lastUp` true and logs that a tunnel came up. */
export function createReporter(spec: TunnelSpec, { clock, log, state, setState }: ReporterDeps): Reporter {
  const report = (change: Partial<TunnelState>) => {
    const before = state();
    const phaseChanged = change.phase !== undefined && change.phase !== before.phase;
    const wasUp = before.phase === 'up';
    const now = clock.now();
    setState({
      ...before,
      ...change,
      ...(change.failure === undefined || change.failure === null
        ? {}
        : { failure: { ...change.failure, hint: hintFor(spec.name, change.failure.hint) } }),
      ...(phaseChanged ? { since: now } : {}),
      ...(change.phase === 'up' ? { attempts: 0, lastUp: now, retryAt: null } : {}),
      ...(phaseChanged && wasUp ? { lastUp: now } : {}),
    });
    if (phaseChanged && change.phase === 'up') {
      const listeners = state().forwards.filter((forward) => forward.state === 'up');
      log.info({ server: formatServer(spec), listening: listeners.map(formatListen).join(', ') }, 'tunnel is up');
    }
  };
  const reportForward = (index: number, change: Partial<ForwardState>) => {
    const { forwards } = state();
    setState({
      ...state(),
      forwards: forwards.map((forward, i) => (i === index ? { ...forward, ...change } : forward)),
    });
  };
  return {
    report,
    reportForward,
    sessionOver: () => {
      for (const index of spec.forwards.keys()) reportForward(index, NOT_ASKED);
      report({ sourcePort: null, login: null, carrier: null, rttMs: null, silentSince: null });
    },
  };
}

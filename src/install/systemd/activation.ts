import { UNIT, type UnitState } from './manager.ts';
import type { Step } from '../steps/step.ts';

export interface Activation {
  readonly systemctl: readonly string[];
  readonly state: UnitState;
  readonly unitChanged: boolean;
  /** The running process is not the one of the unit, after an installation that was interrupted. */
  readonly runsOther: boolean;
  readonly start: boolean;
}

/** The steps that bring the service up with its present unit; none where it runs so already. */
export function activationSteps({ systemctl, state, unitChanged, runsOther, start }: Activation): readonly Step[] {
  const steps: Step[] = [];
  const add = (why: string, ...argv: readonly string[]) =>
    steps.push({ type: 'command', argv: [...systemctl, ...argv], why });
  if (unitChanged || state.needsReload) add('the unit changed', 'daemon-reload');
  if (state.enabled !== 'enabled') add('start it at boot', 'enable', UNIT);
  if (!start) return steps;
  const up = state.active === 'active';
  // A unit between two restarts would continue with its old settings.
  const runs = up || state.active === 'activating';
  if (runs && (unitChanged || runsOther)) add('restart it, and wait until it is ready', 'restart', UNIT);
  else if (!up) add('start it, and wait until it is ready', 'start', UNIT);
  return steps;
}

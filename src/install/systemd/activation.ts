import { UNIT, type UnitState } from './manager.ts';
import type { Step } from '../steps/step.ts';

export interface Activation {
  readonly systemctl: readonly string[];
  readonly state: UnitState;
  readonly unitChanged: boolean;
  /** What runs as the service is not what the unit says: an installation ended half-way. */
  readonly runsOther: boolean;
  readonly start: boolean;
}

/** What brings the service up as its unit says; nothing where it is so already. */
export function activationSteps({ systemctl, state, unitChanged, runsOther, start }: Activation): readonly Step[] {
  const steps: Step[] = [];
  const add = (why: string, ...argv: readonly string[]) =>
    steps.push({ type: 'command', argv: [...systemctl, ...argv], why });
  if (unitChanged || state.needsReload) add('the unit is new', 'daemon-reload');
  if (state.enabled !== 'enabled') add('it starts with the system', 'enable', UNIT);
  if (!start) return steps;
  const up = state.active === 'active' || state.active === 'reloading';
  // What is between two attempts is not to go on with the old unit.
  const runs = up || state.active === 'activating';
  if (runs && (unitChanged || runsOther)) add('waits until the daemon is ready', 'restart', UNIT);
  else if (!up) add('waits until the daemon is ready', 'start', UNIT);
  return steps;
}

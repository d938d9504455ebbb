import { systemEnvironment } from '../../../config/input/environment.ts';
import { defaultControlSocket } from '../../../config/input/paths.ts';
import type { Change } from '../../../install/steps/apply-changes.ts';
import { inspectOldService } from '../../../install/takeover/old-service.ts';
import type { Plan, PlannedTakeover } from '../../../install/plan-system.ts';
import { takeOver } from '../../../install/takeover/trial.ts';
import { systemClock } from '../../../lib/async/clock.ts';
import { errorText } from '../../../lib/text.ts';
import { statusAt } from '../../find/daemon-status.ts';
import { reportChange } from '../../text/changes-text.ts';
import { writeToJournal } from './own-unit.ts';
import { proveTakeover } from './prove-takeover.ts';

/** Replaces the unit that ran ssh by the service, and waits until it is as up as the old one. The result is in the journal. */
export async function takeOverNow(
  { state, manager }: Plan,
  { unit, unitSteps, tunnels }: PlannedTakeover,
  changes: readonly Change[],
): Promise<void> {
  await writeToJournal('tunneld takes the place of the old tunnel.service, on trial');
  const old = await inspectOldService(manager);
  const isOfUnit = ({ step }: Change) => unitSteps.includes(step);
  const plan = { unit, files: changes.filter((change) => !isOfUnit(change)), unitFiles: changes.filter(isOfUnit) };
  const socket = defaultControlSocket(systemEnvironment());
  const status = () => statusAt([socket]).catch(() => null);
  const prove = () => proveTakeover(old, { clock: systemClock, status, tunnels });
  try {
    await takeOver(plan, state, manager, prove, reportChange);
    await writeToJournal('tunneld has taken over');
  } catch (error) {
    await writeToJournal(errorText(error));
    throw error;
  }
}

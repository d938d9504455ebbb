import type { Change } from '../../../install/steps/apply-changes.ts';
import { inspectOldService } from '../../../install/takeover/old-service.ts';
import type { Plan, PlannedTakeover } from '../../../install/plan-system.ts';
import { takeOver } from '../../../install/takeover/trial.ts';
import { errorText } from '../../../lib/text.ts';
import { reportChange } from '../../text/changes-text.ts';
import { writeToJournal } from './own-unit.ts';
import { proveService } from './prove-takeover.ts';

/** Replaces the unit that ran ssh by the service, and waits until it is as up as the old one. The result is in the journal. */
export async function takeOverNow(
  { state, manager }: Plan,
  takeover: PlannedTakeover,
  changes: readonly Change[],
): Promise<void> {
  await writeToJournal('tunneld takes the place of the old tunnel.service, on trial');
  const old = await inspectOldService(manager);
  const prove = () => proveService(old, takeover.tunnels);
  try {
    await takeOver(takeover, changes, state, manager, prove, reportChange);
    await writeToJournal('tunneld has taken over');
  } catch (error) {
    await writeToJournal(errorText(error));
    throw error;
  }
}

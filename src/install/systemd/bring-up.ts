import { EXIT } from '../../lib/exit-code.ts';
import { errorText } from '../../lib/text.ts';
import { applyChanges, type Change, revertedText, type Undo } from '../steps/apply-changes.ts';
import { UserError } from '../../lib/user-error.ts';
import { recentLog, type Manager, UNIT, unitState, type UnitState } from './manager.ts';
import { mustRun } from '../steps/run-program.ts';
import type { Step } from '../steps/step.ts';

/** Applies the changes to files, then activates the service. Where it does not come up, all changes are reverted, and the previous service runs again. */
export async function bringUp(
  changes: readonly Change[],
  activation: readonly Step[],
  before: UnitState,
  manager: Manager,
  onDone: (change: Change) => void,
): Promise<void> {
  const undo = await applyChanges(changes, manager.run, onDone);
  try {
    for (const step of activation) {
      if (step.type !== 'command') continue;
      await mustRun(manager.run, step.argv);
      onDone({ step, before: null });
    }
  } catch (error) {
    const log = await recentLog(manager);
    const { exitStatus } = await unitState(manager);
    const left = await rollBack(undo, before, manager);
    const state = revertedText(left, before.active === 'active' ? ', and the previous service runs again' : '');
    throw new UserError(
      [errorText(error), ...log, state].join('\n'),
      exitStatus === EXIT.config ? EXIT.config : EXIT.failed,
    );
  }
}

/** Resolves with the failures. */
async function rollBack(undo: Undo, before: UnitState, { systemctl, run }: Manager): Promise<readonly string[]> {
  const failed: string[] = [];
  const attempt = async (...argv: readonly string[]) => {
    await mustRun(run, [...systemctl, ...argv]).catch((error: unknown) => failed.push(errorText(error)));
  };
  await attempt('stop', UNIT);
  if (before.enabled !== 'enabled') await attempt('disable', UNIT);
  failed.push(...(await undo()));
  await attempt('daemon-reload');
  await run([...systemctl, 'reset-failed', UNIT]); // it fails where the unit is gone
  if (before.active === 'active') await attempt('start', UNIT);
  else if (before.active === 'activating') await attempt('start', '--no-block', UNIT);
  return failed;
}

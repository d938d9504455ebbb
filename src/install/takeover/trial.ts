import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeDirectory } from '../../lib/files/make-directory.ts';
import { EXIT } from '../../lib/exit-code.ts';
import { errorText } from '../../lib/text.ts';
import { applyChanges, type Change } from '../steps/apply-changes.ts';
import { putFile } from '../steps/files.ts';
import { UserError } from '../../lib/user-error.ts';
import { recentLog, type Manager, UNIT, type UnitState } from '../systemd/manager.ts';
import { mustRun } from '../steps/run-program.ts';

/**
 * The unit on trial. A unit here precedes that of /etc until it is removed or the machine restarts (systemd.unit(5), UNIT FILE LOAD
 * PATH): a loss of power restores the old unit.
 */
const TRIAL_UNIT = `/run/systemd/system.control/${UNIT}`;

/** Exists while the trial is neither accepted nor rolled back. */
const PENDING = '/run/tunneld-takeover';

/** A takeover that can be rolled back at any moment. */
export interface TakeoverPlan {
  /** The files of the new service; the old one uses none of them. */
  readonly files: readonly Change[];
  /** The text of the new unit. */
  readonly unit: string;
  /** The changes that make it permanent. */
  readonly unitFiles: readonly Change[];
}

/**
 * Replaces the old service with the new one, on trial until `prove` resolves. Where it rejects, or anything fails, all changes are
 * reverted, and the old service runs again.
 */
export async function takeOver(
  plan: TakeoverPlan,
  before: UnitState,
  manager: Manager,
  prove: () => Promise<void>,
  onDone: (change: Change) => void,
): Promise<void> {
  const { systemctl, run } = manager;
  const call = (...argv: readonly string[]) => mustRun(run, [...systemctl, ...argv]);
  const report = (why: string, ...argv: readonly string[]) =>
    onDone({ step: { type: 'command', argv: [...systemctl, ...argv], why }, before: null });
  const undo = await applyChanges(plan.files, run, onDone);
  let undoUnit: () => Promise<readonly string[]> = () => Promise.resolve([]);
  try {
    await putFile(PENDING, '', { mode: 0o600, uid: 0, gid: 0 });
    makeDirectory(dirname(TRIAL_UNIT));
    await putFile(TRIAL_UNIT, plan.unit, { mode: 0o644, uid: 0, gid: 0 });
    await call('daemon-reload');
    report('stop the old unit, and start the new one on trial', 'restart', UNIT);
    await call('restart', UNIT);
    await prove();
    undoUnit = await applyChanges(plan.unitFiles, run, onDone);
    await rm(TRIAL_UNIT);
    await call('daemon-reload');
    if (before.enabled !== 'enabled') {
      await call('enable', UNIT);
      report('start it at boot', 'enable', UNIT);
    }
    await rm(PENDING);
  } catch (error) {
    const log = await recentLog(manager);
    const failed = [...(await undoUnit()), ...(await rollBack(before, manager)), ...(await undo())];
    const state =
      failed.length > 0
        ? `not all changes could be reverted: ${failed.join('; ')}`
        : `all changes were reverted${wasUp(before) ? ', and the old unit runs again' : ''}`;
    const because = log === '' ? [] : ['last lines of its log:', log];
    throw new UserError(
      [errorText(error), ...because, state].join('\n'),
      error instanceof UserError ? error.exit : EXIT.failed,
    );
  }
}

/** Resolves with the failures. */
async function rollBack(before: UnitState, { run }: Manager): Promise<readonly string[]> {
  const { code, stdout, stderr } = await run(['/bin/sh', '-c', rollbackScript(before)]);
  return code === 0 ? [] : [`${stderr}${stdout}`.trim()];
}

/**
 * A shell script that restores the old unit and its state, for a takeover whose process is gone. It does nothing where the trial was
 * decided, and may run repeatedly.
 */
export function rollbackScript({ active }: Pick<UnitState, 'active'>): string {
  const verb =
    active === 'activating' ? 'restart --no-block' : active === 'inactive' || active === 'failed' ? 'stop' : 'restart';
  return `test -e ${PENDING} || exit 0; rm -f ${TRIAL_UNIT}; systemctl daemon-reload && systemctl ${verb} ${UNIT} && rm -f ${PENDING}`;
}

function wasUp({ active }: UnitState): boolean {
  return active !== 'inactive' && active !== 'failed';
}

import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeDirectory } from '../../lib/files/make-directory.ts';
import { errorText } from '../../lib/text.ts';
import { applyChanges, type Change } from '../steps/apply-changes.ts';
import { putFile } from '../steps/files.ts';
import { InstallError } from '../steps/install-error.ts';
import { recentLog, type Manager, UNIT, type UnitState } from '../systemd/manager.ts';
import { mustRun } from '../steps/run-program.ts';

/**
 * Where a unit comes before that of /etc, until it is removed or the machine starts again (systemd.unit(5), UNIT FILE LOAD PATH): what
 * is on trial. A loss of power brings the old unit back by itself.
 */
const TRIAL_UNIT = `/run/systemd/system.control/${UNIT}`;

/** Is there while it is not decided whether the trial becomes the service. */
const PENDING = '/run/tunneld-takeover';

/** What has to be done, in its order, for a takeover that can be undone at any moment. */
export interface TakeoverPlan {
  /** What the new service needs; nothing of it touches the old one. */
  readonly files: readonly Change[];
  /** The text of the new unit. */
  readonly unit: string;
  /** What makes it the unit for good. */
  readonly unitFiles: readonly Change[];
}

/**
 * Puts the new service in the place of the old one, first on trial; for good once `prove` is content. Where that rejects, or anything
 * fails, everything is as it was, and what ran before runs again.
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
    report('the old unit ends, and the new one runs on trial', 'restart', UNIT);
    await call('restart', UNIT);
    await prove();
    undoUnit = await applyChanges(plan.unitFiles, run, onDone);
    await rm(TRIAL_UNIT);
    await call('daemon-reload');
    if (before.enabled !== 'enabled') {
      await call('enable', UNIT);
      report('it starts with the system', 'enable', UNIT);
    }
    await rm(PENDING);
  } catch (error) {
    const log = await recentLog(manager);
    const failed = [...(await undoUnit()), ...(await rollBack(before, manager)), ...(await undo())];
    const state =
      failed.length > 0
        ? `not all could be put back: ${failed.join('; ')}`
        : `everything is as it was${wasUp(before) ? ', and what ran before runs again' : ''}`;
    const because = log === '' ? [] : ['its last words:', log];
    throw new InstallError(
      [errorText(error), ...because, state].join('\n'),
      error instanceof InstallError ? error.exit : 1,
    );
  }
}

/** The answer is what did not work. */
async function rollBack(before: UnitState, { run }: Manager): Promise<readonly string[]> {
  const { code, stdout, stderr } = await run(['/bin/sh', '-c', rollbackScript(before)]);
  return code === 0 ? [] : [`${stderr}${stdout}`.trim()];
}

/**
 * For whoever finds the trial undecided, with nothing of us left: the old unit, running as it did before. It works as often as it is
 * called.
 */
export function rollbackScript({ active }: Pick<UnitState, 'active'>): string {
  const verb =
    active === 'activating' ? 'restart --no-block' : active === 'inactive' || active === 'failed' ? 'stop' : 'restart';
  return `test -e ${PENDING} || exit 0; rm -f ${TRIAL_UNIT}; systemctl daemon-reload && systemctl ${verb} ${UNIT} && rm -f ${PENDING}`;
}

function wasUp({ active }: UnitState): boolean {
  return active !== 'inactive' && active !== 'failed';
}

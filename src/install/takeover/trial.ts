import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeDirectory } from '../../lib/files/make-directory.ts';
import { applyChanges, type Change, revertedError } from '../steps/apply-changes.ts';
import { putFile } from '../steps/files.ts';
import { recentLog, type Manager, UNIT, type UnitState } from '../systemd/manager.ts';
import { mustRun } from '../steps/run-program.ts';
import { type Step } from '../steps/step.ts';

/**
 * The unit on trial. A unit here precedes that of /etc until it is removed or the machine restarts (systemd.unit(5), UNIT FILE LOAD
 * PATH): a loss of power restores the old unit.
 */
const TRIAL_UNIT = `/run/systemd/system.control/${UNIT}`;

/** Exists until the takeover is complete or rolled back. */
export const PENDING = '/run/tunneld-takeover';

/** Its content once the new tunnels have proven themselves: from then on the file that keeps them decides which ones run. */
export const PROVEN = 'proven';

export async function setPending(content: '' | typeof PROVEN): Promise<void> {
  await putFile(PENDING, content, { mode: 0o600, uid: 0, gid: 0 });
}

/** What keeps the tunnels today besides tunnel.service, which is the unit of tunneld itself. */
export interface OldKeepers {
  /** Rejects where the new tunnels cannot log in beside the old ones; nothing is stopped then. */
  tryBeside(): Promise<void>;
  /** Stops them; where that fails halfway, `startScript` is run. */
  stop(): Promise<void>;
  /** A script for sh that starts again what was stopped. */
  readonly startScript: string;
  /** Keeps them from starting again, once they are replaced for good. Never rejects: there is no way back any more. */
  disable(): Promise<void>;
}

const NONE: OldKeepers = {
  tryBeside: () => Promise.resolve(),
  stop: () => Promise.resolve(),
  startScript: ':',
  disable: () => Promise.resolve(),
};

/** The text of a new unit, and the steps that concern its file. */
export interface UnitTrial {
  readonly unit: string;
  readonly unitSteps: readonly Step[];
}

/**
 * Replaces the old service with the new one, on trial until `prove` resolves. Where it rejects, or anything fails, all changes are
 * reverted, and the old service runs again. Of the changes those of `unitSteps` make the new unit permanent; the old service uses none of
 * the other files.
 */
export async function takeOver(
  { unit, unitSteps }: UnitTrial,
  changes: readonly Change[],
  before: UnitState,
  manager: Manager,
  prove: () => Promise<void>,
  onDone: (change: Change) => void,
  old: OldKeepers = NONE,
): Promise<void> {
  const { systemctl, run } = manager;
  const call = (...argv: readonly string[]) => mustRun(run, [...systemctl, ...argv]);
  const report = (why: string, ...argv: readonly string[]) =>
    onDone({ step: { type: 'command', argv: [...systemctl, ...argv], why }, before: null });
  const isOfUnit = ({ step }: Change) => unitSteps.includes(step);
  const undo = await applyChanges(
    changes.filter((change) => !isOfUnit(change)),
    run,
    onDone,
  );
  let isStopped = false;
  let undoUnit: () => Promise<readonly string[]> = () => Promise.resolve([]);
  try {
    await old.tryBeside();
    await setPending('');
    isStopped = true;
    await old.stop();
    makeDirectory(dirname(TRIAL_UNIT));
    await putFile(TRIAL_UNIT, unit, { mode: 0o644, uid: 0, gid: 0 });
    await call('daemon-reload');
    report(
      old === NONE ? 'stop the old unit, and start the new one on trial' : 'start the service on trial',
      'restart',
      UNIT,
    );
    await call('restart', UNIT);
    await prove();
    await setPending(PROVEN);
    undoUnit = await applyChanges(changes.filter(isOfUnit), run, onDone);
    await rm(TRIAL_UNIT);
    await call('daemon-reload');
    if (before.enabled !== 'enabled') {
      await call('enable', UNIT);
      report('start it at boot', 'enable', UNIT);
    }
  } catch (error) {
    const log = await recentLog(manager);
    if (isStopped) await setPending('').catch(() => {}); // where this is killed, too, the old ones run
    const failed = [
      ...(await undoUnit()),
      ...(await rollBack(before, manager, isStopped ? old.startScript : ':')),
      ...(await undo()),
    ];
    const oldUnit = wasUp(before) ? ', and the old unit runs again' : '';
    const runsAgain = old === NONE ? oldUnit : ', and what kept the tunnels before runs again';
    throw revertedError(error, failed, runsAgain, log);
  }
  await old.disable();
  await rm(PENDING, { force: true });
}

/** Resolves with the failures. */
async function rollBack(before: UnitState, { run }: Manager, startOld: string): Promise<readonly string[]> {
  const failed: string[] = [];
  for (const script of [rollbackScript(before), startOld]) {
    const { code, stdout, stderr } = await run(['/bin/sh', '-c', script]);
    if (code !== 0) failed.push(`${stderr}${stdout}`.trim());
  }
  return failed;
}

/**
 * A shell script, without quotes, that restores the old unit and its state, for a takeover whose process is gone. It does nothing where
 * the takeover is complete, and may run repeatedly; with `keep-pending` who runs it has more to do before that is so.
 */
export function rollbackScript(
  { active }: Pick<UnitState, 'active'>,
  pending: 'remove-pending' | 'keep-pending' = 'remove-pending',
): string {
  const state =
    active === 'activating'
      ? `systemctl restart --no-block ${UNIT}`
      : active === 'inactive' || active === 'failed'
        ? // It may not be loaded at all.
          `{ systemctl stop ${UNIT} || ! systemctl --quiet is-active ${UNIT}; }`
        : `systemctl restart ${UNIT}`;
  const script = `test -e ${PENDING} || exit 0; rm -f ${TRIAL_UNIT}; systemctl daemon-reload && ${state}`;
  return pending === 'keep-pending' ? script : `${script} && rm -f ${PENDING}`;
}

/** A command line for sh that completes a takeover whose process is gone, where the new unit's file is in its place. */
export const KEEP_SCRIPT = `rm -f ${TRIAL_UNIT} && systemctl daemon-reload && systemctl enable ${UNIT} && systemctl start ${UNIT}`;

function wasUp({ active }: UnitState): boolean {
  return active !== 'inactive' && active !== 'failed';
}

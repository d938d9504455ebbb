import { rm } from 'node:fs/promises';
import { systemEnvironment } from '../../../config/input/environment.ts';
import { defaultControlSocket } from '../../../config/input/paths.ts';
import { createCandidate, removeCandidate } from '../../../config/candidate.ts';
import { applyChanges, type Change, revertedError } from '../../../install/steps/apply-changes.ts';
import { putFile } from '../../../install/steps/files.ts';
import type { Plan } from '../../../install/plan-system.ts';
import { UNIT } from '../../../install/systemd/manager.ts';
import { CONFIG } from '../../../install/systemd/service-paths.ts';
import { inspectProcesses } from '../../../install/takeover/old-service.ts';
import { type OldKeepers, PENDING, rollbackScript, takeOver } from '../../../install/takeover/trial.ts';
import { disableAll, processesOf, startScript, stopKeeper } from '../../../install/keepers/hold.ts';
import { type OldMachine, thisMachine } from '../../../install/keepers/machine.ts';
import type { FromPlan } from '../../../install/keepers/plan-from.ts';
import { systemClock } from '../../../lib/async/clock.ts';
import { EXIT } from '../../../lib/exit-code.ts';
import { errorText } from '../../../lib/text.ts';
import type { TunnelSpec } from '../../../model/spec.ts';
import { confirm } from '../../daemon/confirm.ts';
import { tryToHandOverKeys } from '../../daemon/reload.ts';
import { request } from '../../find/daemon-request.ts';
import { statusAt } from '../../find/daemon-status.ts';
import { proveTakeover } from '../../service/takeover/prove-takeover.ts';
import { writeToJournal } from '../../service/takeover/own-unit.ts';
import { reportChange } from '../../text/changes-text.ts';
import { report } from '../../text/report.ts';
import { logInOnce } from './log-in-once.ts';

/** A script that undoes what a killed hand-over has begun. */
const RESTORE = '/run/tunneld-takeover.restore';

/** A script that starts what was stopped, with the environment that it had: only root may read it. */
const START = '/run/tunneld-takeover.start';

/** For the end of the process, whatever it was: without quotes. */
export const RESTORE_AT_END = `test ! -e ${RESTORE} || sh ${RESTORE}; rm -f ${RESTORE} ${START}`;

/**
 * Brings the new tunnels up in the place of the old ones, and ends these for good once the new ones are verified. Rejects where they are
 * not: then the old ones run again, and nothing was changed. The exit code is 1 where an old one would start again with the machine.
 */
export async function handOver(
  plan: Plan,
  from: FromPlan,
  changes: readonly Change[],
  machine: OldMachine,
): Promise<number> {
  const names = from.taken.map(({ name }) => name).join(', ');
  await writeToJournal(`tunneld takes the place of ${names}, on trial`);
  try {
    const notDisabled: string[] = [];
    const old = await oldKeepers(from, plan, machine, notDisabled);
    const prove = await proofOf(from, plan, machine);
    if (plan.state.active === 'active') await inRunningService(from, changes, plan, old, prove);
    else await inNewService(plan, changes, old, prove);
    for (const name of from.tunnels) report(`${name} is up, in the place of what kept it up before`);
    await writeToJournal('tunneld has taken over');
    return notDisabled.length > 0 ? EXIT.failed : EXIT.ok;
  } catch (error) {
    await writeToJournal(errorText(error));
    throw error;
  }
}

async function oldKeepers(
  { taken, specs }: FromPlan,
  { state, manager: { run } }: Plan,
  machine: OldMachine,
  notDisabled: string[],
): Promise<OldKeepers> {
  const restore = `sh ${START}`;
  const undo =
    state.active === 'active' ? `systemctl reload ${UNIT}` : rollbackScript(state).replace(/ && rm -f \S+$/, '');
  return {
    restore,
    tryBeside: async () => {
      for (const spec of differentLogins(specs)) await logInOnce(spec);
      await putFile(START, taken.map((keeper) => `${startScript(keeper, machine)}\n`).join(''), PRIVATE);
      await putFile(RESTORE, `test -e ${PENDING} || exit 0\n${undo}\n${restore}\nrm -f ${PENDING}\n`, PRIVATE);
    },
    stop: async () => {
      const now = await thisMachine(run);
      for (const keeper of taken) {
        report(`stop ${keeper.name}`);
        await stopKeeper(keeper, now, run);
      }
    },
    disable: async () => {
      const { done, failed } = await disableAll(taken, run);
      for (const line of [...done, ...failed]) report(line);
      notDisabled.push(...failed);
    },
  };
}

const PRIVATE = { mode: 0o600, uid: 0, gid: 0 };

/** Servers count logins. */
function differentLogins(specs: readonly TunnelSpec[]): readonly TunnelSpec[] {
  const logins = specs.map((spec) => {
    const { host, port, user, identityFiles, passwordFile, jumps } = spec;
    return [JSON.stringify([host, port, user, identityFiles, passwordFile, jumps]), spec] as const;
  });
  return [...new Map(logins).values()];
}

/** What the server refused to the old ones may be refused to the new ones. */
async function proofOf(
  { taken, tunnels }: FromPlan,
  { manager }: Plan,
  machine: OldMachine,
): Promise<() => Promise<void>> {
  const pids = taken.flatMap((keeper) => processesOf(keeper, machine));
  const { refused } = await inspectProcesses(pids, { journal: ['journalctl'], run: manager.run });
  const socket = defaultControlSocket(systemEnvironment());
  const status = () => statusAt([socket]).catch(() => null);
  return () => proveTakeover({ connected: true, refused }, { clock: systemClock, status, tunnels });
}

/** The service does not run: its unit is on trial, in memory, until the tunnels are up. */
async function inNewService(
  { state, manager, trial }: Plan,
  changes: readonly Change[],
  old: OldKeepers,
  prove: () => Promise<void>,
): Promise<void> {
  const { unit, unitSteps } = trial!;
  const isOfUnit = ({ step }: Change) => unitSteps.includes(step);
  const plan = { unit, files: changes.filter((change) => !isOfUnit(change)), unitFiles: changes.filter(isOfUnit) };
  await takeOver(plan, state, manager, prove, reportChange, old);
}

/** The running service tries the configuration out, and goes back by itself where it is not confirmed. */
async function inRunningService(
  { yaml }: FromPlan,
  changes: readonly Change[],
  { manager }: Plan,
  old: OldKeepers,
  prove: () => Promise<void>,
): Promise<void> {
  const files = changes.filter(({ step }) => !('path' in step) || step.path !== CONFIG);
  const undo = await applyChanges(files, manager.run, reportChange);
  let candidate: string | null = null;
  let isStopped = false;
  try {
    await old.tryBeside();
    await putFile(PENDING, '', PRIVATE);
    isStopped = true;
    await old.stop();
    const status = await request(CONFIG, { command: 'status' }, null);
    candidate = await createCandidate(CONFIG, yaml, status.trial?.candidate ?? null);
    await tryToHandOverKeys();
    await request(CONFIG, { command: 'apply', candidate, withinMs: TRIAL_MS }, null);
    await prove();
    await confirm(CONFIG);
    // Decided: from here on nothing starts the old ones again beside the new ones.
    await rm(PENDING);
    await old.disable();
  } catch (error) {
    const failed: string[] = [];
    if (candidate !== null) {
      await request(CONFIG, { command: 'reload' }, null).catch((problem: unknown) => failed.push(errorText(problem)));
      await removeCandidate(CONFIG, candidate);
    }
    failed.push(...(await undo()));
    if (isStopped) {
      const { code, stderr } = await manager.run(['/bin/sh', '-c', old.restore]);
      if (code !== 0) failed.push(stderr.trim());
    }
    await rm(PENDING, { force: true });
    throw revertedError(error, failed, ', and what kept the tunnels before runs on');
  }
}

/** Longer than the proof. */
const TRIAL_MS = 120_000;

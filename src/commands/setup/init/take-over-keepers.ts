import { rm } from 'node:fs/promises';
import { createCandidate, removeCandidate } from '../../../config/candidate.ts';
import { applyChanges, type Change, revertedError } from '../../../install/steps/apply-changes.ts';
import { putFile } from '../../../install/steps/files.ts';
import type { Plan } from '../../../install/plan-system.ts';
import { UNIT } from '../../../install/systemd/manager.ts';
import { CONFIG } from '../../../install/systemd/service-paths.ts';
import { inspectProcesses } from '../../../install/takeover/old-service.ts';
import {
  KEEP_SCRIPT,
  type OldKeepers,
  PENDING,
  PROVEN,
  rollbackScript,
  setPending,
  takeOver,
} from '../../../install/takeover/trial.ts';
import { disableAll, disableScript, processesOf, startScript, stopKeeper } from '../../../install/keepers/hold.ts';
import { type OldMachine, thisMachine } from '../../../install/keepers/machine.ts';
import type { FromPlan } from '../../../install/keepers/plan-from.ts';
import { EXIT } from '../../../lib/exit-code.ts';
import { shellQuote } from '../../../lib/shell-quote.ts';
import { errorText } from '../../../lib/text.ts';
import type { TunnelSpec } from '../../../model/spec.ts';
import { confirm } from '../../daemon/confirm.ts';
import { tryToHandOverKeys } from '../../daemon/reload.ts';
import { request } from '../../find/daemon-request.ts';
import { proveService } from '../../service/takeover/prove-takeover.ts';
import { inJournal, writeToJournal } from '../../service/takeover/own-unit.ts';
import { reportChange } from '../../text/changes-text.ts';
import { report } from '../../text/report.ts';
import { logInOnce } from '../log-in-once.ts';

/** A script that undoes what a killed takeover has begun, or completes it where it was decided. */
const END_SCRIPT = '/run/tunneld-takeover.end';

/** The text of the file that keeps the new tunnels, which decides. */
const KEPT = '/run/tunneld-takeover.kept';

/** A script that starts what was stopped, with the environment that it had: only root may read it. */
const START = '/run/tunneld-takeover.start';

/** For the end of the process, whatever it was: without quotes. */
export const RUN_AT_END = `test ! -e ${END_SCRIPT} || sh ${END_SCRIPT}; rm -f ${END_SCRIPT} ${START} ${KEPT}`;

/**
 * Brings the new tunnels up in the place of the old ones, and ends these for good once the new ones are verified. Rejects where they are
 * not: then the old ones run again, and nothing was changed. The exit code is 1 where an old one would start again with the machine.
 */
export async function takeOverKeepers(
  plan: Plan,
  from: FromPlan,
  changes: readonly Change[],
  machine: OldMachine,
): Promise<number> {
  await writeToJournal(`tunneld takes the place of ${from.taken.map(({ name }) => name).join(', ')}, on trial`);
  return await inJournal(async () => {
    const notDisabled: string[] = [];
    const old = await oldKeepers(from, plan, machine, notDisabled);
    const prove = await proofOf(from, plan, machine);
    if (plan.state.active === 'active') await inRunningService(from, changes, plan, old, prove);
    // The service does not run: its unit is on trial, in memory, until the tunnels are up.
    else await takeOver(plan.trial!, changes, plan.state, plan.manager, prove, reportChange, old);
    for (const name of from.tunnels) report(`${name} is up, in the place of what kept it up before`);
    return notDisabled.length > 0 ? EXIT.failed : EXIT.ok;
  }, 'tunneld has taken over');
}

async function oldKeepers(from: FromPlan, plan: Plan, machine: OldMachine, notDisabled: string[]): Promise<OldKeepers> {
  const { taken, specs } = from;
  const { run } = plan.manager;
  return {
    startScript: `sh ${START}`,
    tryBeside: async () => {
      for (const spec of differentLogins(specs)) await logInOnce(spec);
      await putFile(START, taken.map((keeper) => `${startScript(keeper, machine)}\n`).join(''), PRIVATE);
      const kept = keptFile(from, plan);
      if (kept !== null) await putFile(KEPT, kept.text, PRIVATE);
      await putFile(END_SCRIPT, endScript(from, plan, kept?.path ?? null), PRIVATE);
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

/** The file whose replacement makes the new tunnels last; null where all of it is there already. */
function keptFile({ yaml }: FromPlan, { state, trial }: Plan): { readonly path: string; readonly text: string } | null {
  if (state.active === 'active') return { path: CONFIG, text: yaml };
  const step = trial!.unitSteps.find((one) => one.type === 'file');
  return step === undefined ? null : { path: step.path, text: step.content ?? '' };
}

/** For a takeover whose process is gone: the new tunnels were proven and are kept, and the old ones are disabled; or these run again. */
function endScript({ taken }: FromPlan, { state }: Plan, kept: string | null): string {
  const isRunning = state.active === 'active';
  const keep = isRunning ? `systemctl reload ${UNIT}` : KEEP_SCRIPT;
  const undo = isRunning ? `systemctl reload ${UNIT}` : rollbackScript(state, 'keep-pending');
  const isKept = kept === null ? '' : ` && [ "$(cat ${shellQuote(kept)})" = "$(cat ${KEPT})" ]`;
  return `test -e ${PENDING} || exit 0
if grep -qx ${PROVEN} ${PENDING}${isKept}; then
${keep} && {
${taken.map(disableScript).join('')}:
}
else
${undo}
sh ${START}
fi
rm -f ${PENDING}
`;
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
  return () => proveService({ connected: true, refused }, tunnels);
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
    await setPending('');
    isStopped = true;
    await old.stop();
    const status = await request(CONFIG, { command: 'status' }, null);
    candidate = await createCandidate(CONFIG, yaml, status.trial?.candidate ?? null);
    await tryToHandOverKeys();
    await request(CONFIG, { command: 'apply', candidate, withinMs: TRIAL_MS }, null);
    await prove();
    await setPending(PROVEN);
    await confirm(CONFIG);
  } catch (error) {
    const failed: string[] = [];
    if (isStopped) await setPending('').catch(() => {}); // where this is killed, too, the old ones run
    if (candidate !== null) {
      await request(CONFIG, { command: 'reload' }, null).catch((problem: unknown) => failed.push(errorText(problem)));
      await removeCandidate(CONFIG, candidate);
    }
    failed.push(...(await undo()));
    if (isStopped) {
      const { code, stderr } = await manager.run(['/bin/sh', '-c', old.startScript]);
      if (code !== 0) failed.push(stderr.trim());
    }
    await rm(PENDING, { force: true });
    throw revertedError(error, failed, ', and what kept the tunnels before runs on');
  }
  await old.disable();
  await rm(PENDING, { force: true });
}

/** Longer than the proof. */
const TRIAL_MS = 120_000;

import { existsSync } from 'node:fs';
import { changing } from '../../../config/change-lock.ts';
import { systemEnvironment } from '../../../config/input/environment.ts';
import { type Change, changesOf } from '../../../install/steps/apply-changes.ts';
import { readFileState } from '../../../install/steps/files.ts';
import { withLock } from '../../../install/steps/lock.ts';
import { runProgram } from '../../../install/steps/run-program.ts';
import { planSystem } from '../../../install/plan-system.ts';
import { UNIT } from '../../../install/systemd/manager.ts';
import { thisProgram } from '../../../install/systemd/program.ts';
import { CONFIG } from '../../../install/systemd/service-paths.ts';
import { describeEnd } from '../../../install/keepers/hold.ts';
import { findKeepers } from '../../../install/keepers/find.ts';
import { isOfLinux, type Keeper } from '../../../install/keepers/keeper.ts';
import { type OldMachine, thisMachine } from '../../../install/keepers/machine.ts';
import { type FromPlan, planFrom } from '../../../install/keepers/plan-from.ts';
import { EXIT } from '../../../lib/exit-code.ts';
import { wrongUsage } from '../../../lib/user-error.ts';
import { install, lockFile } from '../../service/install.ts';
import { requireSystemd } from '../../service/require-systemd.ts';
import { isInOwnUnit, runInOwnUnit } from '../../service/takeover/own-unit.ts';
import { applySteps, printChanges } from '../../text/changes-text.ts';
import type { Questions } from '../../text/prompt.ts';
import { report } from '../../text/report.ts';
import {
  chosenKeepers,
  confirmTaking,
  describeKeeper,
  hasTaken,
  noteTaken,
  reportFound,
  type FromOptions,
} from './chosen-keepers.ts';
import { RUN_AT_END, takeOverKeepers } from './take-over-keepers.ts';
import type { Outcome } from './outcome.ts';

/**
 * Takes over what keeps ssh tunnels up on this machine: `what` is `autossh` for all that is found, or the name or file of one. The old ones
 * are stopped for good only where the same tunnels are up in the service.
 */
export async function initFrom(
  flag: string | null,
  what: string,
  options: FromOptions,
  questions: Questions,
  outcome: Outcome,
): Promise<number> {
  if (process.platform === 'darwin') {
    if (flag !== null) throw wrongUsage('--from makes tunnels of the service: leave --config out');
    const { initFromLaunchd } = await import('./from-launchd.ts');
    const apply = applySteps(options.dryRun, runProgram);
    return await initFromLaunchd(what, options, questions, outcome, systemEnvironment(), apply);
  }
  if (flag !== null && flag !== CONFIG)
    throw wrongUsage(`--from makes tunnels of the service, whose configuration is ${CONFIG}: leave --config out`);
  requireSystemd(false);
  const result = await withLock(lockFile(false), async () => {
    const machine = await thisMachine(runProgram);
    const keepers = chosenKeepers(findKeepers(machine), what);
    const old = keepers.find(({ hold }) => hold.type === 'unit' && hold.unit === UNIT && hold.user === null);
    if (old !== undefined) return leaveToInstall(keepers);
    const make = () => work(keepers, machine, options, questions, outcome);
    return options.dryRun ? await make() : await changing(CONFIG, 'init --from', make);
  });
  if (typeof result === 'number') return result;
  if (result === 'install')
    return await install(null, { user: false, dryRun: options.dryRun, start: true, yes: options.yes });
  report('this goes on even if the connection ends, until the new tunnels are up or the old ones are back:');
  return await runInOwnUnit(RUN_AT_END);
}

/** Whether a person who was about to make a tunnel wants to take over those that are found instead. Only root could. */
export async function offerFrom(flag: string | null, { interactive, confirm }: Questions): Promise<boolean> {
  if (!interactive || process.platform !== 'linux' || process.getuid?.() !== 0) return false;
  if ((flag !== null && flag !== CONFIG) || !existsSync('/run/systemd/system')) return false;
  const { active } = sort(findKeepers(await thisMachine(runProgram)));
  const found = active.filter(({ why }) => why === null);
  if (found.length === 0) return false;
  report(['ssh tunnels are kept up here already:', ...found.map((keeper) => `  ${describeKeeper(keeper)}`)].join('\n'));
  return await confirm('Take them over, instead of making a new one?');
}

function sort(keepers: readonly Keeper[]): { readonly active: readonly Keeper[]; readonly idle: readonly Keeper[] } {
  const isActive = ({ enabled, running }: Keeper) => enabled || running;
  return { active: keepers.filter(isActive), idle: keepers.filter((keeper) => !isActive(keeper)) };
}

/** install has its own way for the unit that has its name. */
function leaveToInstall(keepers: readonly Keeper[]): 'install' {
  const others = keepers.filter(({ hold }) => !(hold.type === 'unit' && hold.unit === UNIT));
  if (others.length > 0)
    report(`${UNIT} first; for the others run this again: ${others.map(({ name }) => name).join(', ')}`);
  return 'install';
}

/** The exit code, or `takeover` where it has to be done in a unit of its own. */
async function work(
  keepers: readonly Keeper[],
  machine: OldMachine,
  { dryRun, yes }: FromOptions,
  questions: Questions,
  outcome: Outcome,
): Promise<number | 'takeover'> {
  const { active, idle } = sort(keepers);
  const here = systemEnvironment();
  const existing = (await readFileState(CONFIG))?.content ?? null;
  const from = await planFrom(
    active.filter(isOfLinux).filter(({ why }) => why === null),
    existing,
    machine.accounts,
    here,
  );
  const unread = active.flatMap((keeper) => (keeper.why === null ? [] : [{ keeper, why: keeper.why }]));
  const sorted = { taken: from.taken, left: [...unread, ...from.left] };
  const result = sorted.left.length > 0 ? EXIT.failed : EXIT.ok;
  if (!isInOwnUnit()) {
    reportFound(sorted);
    for (const { name } of idle) report(`${name} is left as it is: it neither runs nor starts by itself`);
  }
  if (!hasTaken(sorted)) return result;
  const program = await thisProgram(process.execPath, process.argv[1] ?? '');
  const plan = await planSystem({ copyFrom: null, program, here, run: runProgram, config: from });
  const changes = await changesOf(plan.steps, runProgram);
  if (isInOwnUnit()) {
    const code = await takeOverKeepers(plan, from, changes, machine);
    return code === EXIT.ok ? result : code;
  }
  noteTaken(sorted, CONFIG, outcome);
  for (const note of plan.notes) report(note);
  if (dryRun) return showOnly(from, changes);
  if (!yes && !questions.interactive) printChanges(changes);
  await confirmTaking(from, questions);
  return 'takeover';
}

function showOnly({ taken }: FromPlan, changes: readonly Change[]): number {
  printChanges(changes);
  for (const keeper of taken) process.stdout.write(`then   ${describeEnd(keeper)}\n`);
  report('nothing was changed (--dry-run)');
  return EXIT.wouldChange;
}

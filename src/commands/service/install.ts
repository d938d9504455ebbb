import { systemEnvironment } from '../../config/input/environment.ts';
import { defaultControlSocket } from '../../config/input/paths.ts';
import { connectError } from '../../lib/unix-socket.ts';
import { activationSteps } from '../../install/systemd/activation.ts';
import { bringUp } from '../../install/systemd/bring-up.ts';
import { type Change, changesOf } from '../../install/steps/apply-changes.ts';
import { readIfReadable } from '../../lib/files/read-file.ts';
import { UserError, wrongUsage } from '../../lib/user-error.ts';
import type { Step } from '../../install/steps/step.ts';
import { withLock } from '../../install/steps/lock.ts';
import { type Manager, systemManager, UNIT, unitState } from '../../install/systemd/manager.ts';
import { thisProgram } from '../../install/systemd/program.ts';
import { runProgram } from '../../install/steps/run-program.ts';
import { type Plan, planSystem } from '../../install/plan-system.ts';
import { inspectOldService } from '../../install/takeover/old-service.ts';
import { rollbackScript, takeOver } from '../../install/takeover/trial.ts';
import { NO_MANAGER, planUser } from '../../install/plan-user.ts';
import { sleep, systemClock } from '../../lib/async/clock.ts';
import { VERSION } from '../../lib/version.ts';
import { daemonStatus } from '../find/daemon-status.ts';
import { EXIT } from '../../lib/exit-code.ts';
import { installLaunchd, type InstallOptions } from './install-launchd.ts';
import { applySteps, printChanges, reportChange } from '../text/changes-text.ts';
import { inJournal, isInOwnUnit, runInOwnUnit, writeToJournal } from './takeover/own-unit.ts';
import { confirmOnce, NoTerminalError } from '../text/prompt.ts';
import { requireSystemd } from './require-systemd.ts';
import { outliveTerminal } from '../daemon/apply.ts';
import { showStatus } from '../daemon/status.ts';
import { proveService } from './takeover/prove-takeover.ts';
import { report } from '../text/report.ts';

/** Makes tunneld a service of this system, or of this user: run again, it changes nothing. */
export async function install(flag: string | null, options: InstallOptions): Promise<number> {
  if (process.platform === 'darwin') {
    await installLaunchd(flag, options, applySteps(options.dryRun, runProgram));
    return EXIT.ok;
  }
  requireSystemd(options.user);
  if ((await withLock(lockFile(options.user), () => work(flag, options))) === 'done') return EXIT.ok;
  report('this goes on even if the connection ends, until the new unit works or the old one is back:');
  return await runInOwnUnit(rollbackScript(await unitState(systemManager(runProgram))));
}

export function lockFile(user: boolean): string {
  if (!user) return '/run/tunneld-install.lock';
  const directory = process.env['XDG_RUNTIME_DIR'];
  if (directory) return `${directory}/tunneld-install.lock`;
  throw new UserError(NO_MANAGER);
}

/** What ends a tunnel has to be done in a unit of its own: this command may have come through that tunnel. */
async function work(flag: string | null, options: InstallOptions): Promise<'done' | 'in own unit'> {
  const program = await thisProgram(process.execPath, process.argv[1] ?? '');
  const request = { copyFrom: flag, program, here: systemEnvironment(), run: runProgram };
  const plan = options.user ? await planUser(request) : await planSystem(request);
  const changes = await changesOf(plan.steps, runProgram);
  const activation = activationSteps({
    systemctl: plan.manager.systemctl,
    state: plan.state,
    unitChanged: changes.some(({ step }) => 'path' in step && step.path === plan.unitFile),
    runsOther: runsOther(plan),
    start: options.start,
  });
  const all: readonly Change[] = [...changes, ...activation.map((step) => ({ step, before: null }))];
  // In a unit of its own they were printed before.
  if (!isInOwnUnit()) for (const note of plan.notes) report(note);
  if (all.length === 0) {
    await reportNothingToDo(plan);
    return 'done';
  }
  if (options.dryRun) {
    printChanges(all);
    report('nothing was changed (--dry-run)');
    return 'done';
  }
  if (plan.takeover !== null && !options.start)
    throw wrongUsage(
      'only a running service shows whether it does what the old unit did: leave --no-start out, or move the old unit away',
    );
  if (options.start) await refuseAnother(plan);
  await confirmPlan(plan, all, options);
  if (endsTunnel(plan, activation, options) && !isInOwnUnit()) return 'in own unit';
  if (plan.takeover !== null) await takeOverNow(plan, plan.takeover.tunnels, changes);
  else await bringUpNow(plan, changes, activation);
  await reportInstalled(plan);
  if (options.start) await showStatusSoon(plan.config);
  return 'done';
}

/** Replaces the unit that ran ssh by the service, and waits until it is as up as the old one. */
async function takeOverNow({ state, manager, trial }: Plan, tunnels: readonly string[], changes: readonly Change[]) {
  await writeToJournal('tunneld takes the place of the old tunnel.service, on trial');
  const old = await inspectOldService(manager);
  const prove = () => proveService(old, tunnels);
  await inJournal(() => takeOver(trial!, changes, state, manager, prove, reportChange), 'tunneld has taken over');
}

async function bringUpNow({ state, manager }: Plan, changes: readonly Change[], activation: readonly Step[]) {
  outliveTerminal();
  const work = () => bringUp(changes, activation, state, withoutHangUp(manager), reportChange);
  await (isInOwnUnit() ? inJournal(work, `${UNIT} is installed`) : work());
}

/** Its programs, too, go on when the terminal is gone. */
function withoutHangUp(manager: Manager): Manager {
  return { ...manager, run: (argv) => manager.run(['nohup', ...argv]) };
}

/** A user has no units of the system. */
function endsTunnel({ takeover }: Plan, activation: readonly Step[], { user }: InstallOptions): boolean {
  const isRestart = (step: Step) => step.type === 'command' && step.argv.includes('restart');
  return takeover !== null || (!user && activation.some(isRestart));
}

async function reportInstalled({ manager }: Plan): Promise<void> {
  const { active, status: text } = await unitState(manager);
  report(`${UNIT} is installed, enabled and ${active}${text === '' ? '' : `: ${text}`}`);
}

async function reportNothingToDo(plan: Plan): Promise<void> {
  report(`nothing to do: ${UNIT} is installed, enabled and ${plan.state.active}`);
  const running = (await daemonStatus(plan.config))?.version ?? VERSION;
  if (running !== VERSION) report(`version ${running} runs, and this is ${VERSION}: ${restartCommand(plan)}`);
}

/** Two daemons cannot listen on one control socket, and systemd would remove its directory with the service that fails. */
async function refuseAnother({ state, config, takeover }: Plan): Promise<void> {
  if (takeover === null && state.active !== 'inactive' && state.active !== 'failed') return;
  const socket = defaultControlSocket(systemEnvironment());
  if ((await connectError(socket)) !== null) return;
  const pid = (await daemonStatus(config))?.pid;
  throw new UserError(
    `another tunneld, not started as a service, runs here${pid === undefined ? '' : ` (process ${pid})`} and answers at ${socket}: ` +
      'end it, and run this again',
  );
}

function restartCommand({ manager }: Plan): string {
  return [...(manager.systemctl.length === 1 ? ['sudo'] : []), ...manager.systemctl, 'restart', 'tunnel'].join(' ');
}

async function confirmPlan({ takeover }: Plan, all: readonly Change[], { yes }: InstallOptions): Promise<void> {
  if (takeover === null) return;
  try {
    if (!(await confirmOnce(yes, takeover.question))) throw new UserError('nothing was changed');
  } catch (error) {
    if (!(error instanceof NoTerminalError)) throw error;
    printChanges(all);
    throw wrongUsage(`${error.message}\nnothing was changed; what would be done is printed above`);
  }
}

/** Whether the service runs another process than its unit says, as after an installation that was killed half-way. */
function runsOther({ state, argv }: Plan): boolean {
  if (state.active !== 'active' || argv === null) return false;
  // Where it has just ended, its unit starts it again.
  const running = readIfReadable(`/proc/${state.pid}/cmdline`);
  return running !== null && running.replace(/\0$/, '') !== argv.join('\0');
}

/** Gives the tunnels a moment to come up. */
async function showStatusSoon(config: string): Promise<void> {
  for (let waited = 0; waited < PATIENCE_MS; waited += 100) {
    const tunnels = (await daemonStatus(config))?.tunnels ?? [];
    if (tunnels.length > 0 && tunnels.every(({ phase, failure }) => phase === 'up' || failure !== undefined)) break;
    await sleep(systemClock, 100);
  }
  await showStatus(config);
}

const PATIENCE_MS = 3000;

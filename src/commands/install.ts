import { readFileSync } from 'node:fs';
import { systemEnvironment } from '../config/input/environment.ts';
import { defaultControlSocket } from '../config/input/paths.ts';
import { acceptsConnections } from '../control/client.ts';
import { activationSteps } from '../install/systemd/activation.ts';
import { bringUp } from '../install/systemd/bring-up.ts';
import { type Change, changesOf } from '../install/steps/apply-changes.ts';
import { InstallError } from '../install/steps/install-error.ts';
import { lock } from '../install/steps/lock.ts';
import { systemManager, UNIT, unitState } from '../install/systemd/manager.ts';
import { thisProgram } from '../install/systemd/program.ts';
import { runProgram } from '../install/steps/run-program.ts';
import { type Plan, planSystem } from '../install/plan-system.ts';
import { rollbackScript } from '../install/takeover/trial.ts';
import { NO_MANAGER, planUser } from '../install/plan-user.ts';
import { sleep, systemClock } from '../lib/async/clock.ts';
import { VERSION } from '../lib/version.ts';
import { daemonStatus } from './find/daemon-status.ts';
import { EXIT } from './text/exit-code.ts';
import { installLaunchd } from './install-launchd.ts';
import { applySteps, printChanges, reportChange } from './text/changes-text.ts';
import { isInOwnUnit, runInOwnUnit } from './takeover/own-unit.ts';
import { createQuestions, NoTerminalError } from './text/prompt.ts';
import { checkSystemd, sayWhyNot } from './find/service-context.ts';
import { status } from './status.ts';
import { takeOverNow } from './takeover/take-over.ts';
import { report } from './text/report.ts';

export interface InstallOptions {
  /** For this user alone. */
  readonly user: boolean;
  readonly dryRun: boolean;
  readonly start: boolean;
  readonly yes: boolean;
}

/** Makes tunneld a service of this system, or of this user: run again, it changes nothing. */
export async function install(flag: string | null, options: InstallOptions): Promise<number> {
  try {
    if (process.platform === 'darwin')
      return await installLaunchd({ ...options, config: flag }, applySteps(options.dryRun, runProgram));
    checkSystemd(options.user);
    const done = await workAlone(flag, options);
    if (done !== 'takeover') return done;
    report('whatever becomes of this connection, it goes on, and ends with the old unit or a new one that works:');
    return await runInOwnUnit(rollbackScript(await unitState(systemManager(runProgram))));
  } catch (error) {
    return sayWhyNot(error);
  }
}

export function lockFile(user: boolean): string {
  if (!user) return '/run/tunneld-install.lock';
  const directory = process.env['XDG_RUNTIME_DIR'];
  if (directory) return `${directory}/tunneld-install.lock`;
  throw new InstallError(NO_MANAGER);
}

async function workAlone(flag: string | null, options: InstallOptions): Promise<number | 'takeover'> {
  const unlock = await lock(lockFile(options.user));
  try {
    return await work(flag, options);
  } finally {
    await unlock();
  }
}

/** `takeover` is to be carried out in a unit of its own. */
async function work(flag: string | null, options: InstallOptions): Promise<number | 'takeover'> {
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
  // In a unit of its own somebody has read them, and has said yes.
  if (!isInOwnUnit()) for (const note of plan.notes) report(note);
  if (all.length === 0) return await reportNothingToDo(plan);
  if (options.dryRun) {
    printChanges(all);
    report('nothing was changed (--dry-run)');
    return EXIT.ok;
  }
  if (plan.takeover !== null && !options.start)
    throw new InstallError(
      'whether the new service does what the old unit did is only seen when it runs: leave --no-start out, or move the old unit away',
      EXIT.usage,
    );
  if (options.start) await refuseAnother(plan);
  if (!(await isWanted(plan, all, options))) return EXIT.failed;
  if (plan.takeover === null) await bringUp(changes, activation, plan.state, plan.manager, reportChange);
  else if (isInOwnUnit()) await takeOverNow(plan, plan.takeover, changes);
  else return 'takeover';
  await reportInstalled(plan);
  if (options.start) await showStatus(plan.config);
  return EXIT.ok;
}

async function reportInstalled({ manager }: Plan): Promise<void> {
  const { active, status: text } = await unitState(manager);
  report(`${UNIT} is installed, enabled and ${active}${text === '' ? '' : `: ${text}`}`);
}

async function reportNothingToDo(plan: Plan): Promise<number> {
  report(`nothing to do: ${UNIT} is installed, enabled and ${plan.state.active}`);
  const running = (await daemonStatus(plan.config))?.version ?? VERSION;
  if (running !== VERSION) report(`${running} runs, and this is ${VERSION}: ${restartCommand(plan)}`);
  return EXIT.ok;
}

/** Two cannot listen on one control socket; and with the service that fails for it systemd would remove the other one's directory. */
async function refuseAnother({ state, config, question }: Plan): Promise<void> {
  if (question === null && state.active !== 'inactive' && state.active !== 'failed') return;
  const socket = defaultControlSocket(systemEnvironment());
  if (!(await acceptsConnections(socket))) return;
  const pid = (await daemonStatus(config))?.pid;
  throw new InstallError(
    `another tunneld runs here${pid === undefined ? '' : ` (process ${pid})`}, which was started otherwise, and answers at ${socket}: ` +
      'end it, and run this again',
  );
}

function restartCommand({ manager }: Plan): string {
  return [...(manager.systemctl.length === 1 ? ['sudo'] : []), ...manager.systemctl, 'restart', 'tunnel'].join(' ');
}

async function isWanted(plan: Plan, all: readonly Change[], { yes }: InstallOptions): Promise<boolean> {
  if (plan.question === null) return true;
  const questions = createQuestions(yes);
  try {
    if (await questions.confirm(plan.question)) return true;
    report('everything was left as it is');
    return false;
  } catch (error) {
    if (!(error instanceof NoTerminalError)) throw error;
    printChanges(all);
    throw new InstallError(`${error.message}\nabove is what would be done; nothing was changed`, EXIT.usage);
  } finally {
    questions.close();
  }
}

/** Whether the process of the service is another than the unit means, as after an installation that was killed half-way. */
function runsOther({ state, argv }: Plan): boolean {
  if (state.active !== 'active' || argv === null) return false;
  try {
    return readFileSync(`/proc/${state.pid}/cmdline`, 'utf8').replace(/\0$/, '') !== argv.join('\0');
  } catch {
    return false; // it has just ended, and its unit starts it again
  }
}

/** How the tunnels are, once they have had a moment; whether they are up does not decide whether the installation worked. */
async function showStatus(config: string): Promise<void> {
  for (let waited = 0; waited < PATIENCE_MS; waited += 100) {
    const tunnels = (await daemonStatus(config))?.tunnels ?? [];
    if (tunnels.length > 0 && tunnels.every(({ phase, failure }) => phase === 'up' || failure !== undefined)) break;
    await sleep(systemClock, 100);
  }
  await status(config, null, { json: false, watch: false });
}

const PATIENCE_MS = 3000;

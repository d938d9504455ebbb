import { join } from 'node:path';
import { homedir } from 'node:os';
import { systemEnvironment } from '../config/input/environment.ts';
import { loadConfig } from '../config/load.ts';
import { applyChanges, changesOf } from '../install/steps/apply-changes.ts';
import { lock } from '../install/steps/lock.ts';
import { systemManager, userManager } from '../install/systemd/manager.ts';
import { CONFIG, serviceEnvironment, UNIT_FILE } from '../install/systemd/service-paths.ts';
import { planRemoval, planUnitRemoval } from '../install/plan-removal.ts';
import { runProgram } from '../install/steps/run-program.ts';
import { checkManager, userUnitFile } from '../install/plan-user.ts';
import { EXIT } from './text/exit-code.ts';
import { lockFile } from './install.ts';
import { applySteps, printChanges, reportChange } from './text/changes-text.ts';
import { checkSystemd, sayWhyNot } from './find/service-context.ts';
import { report } from './text/report.ts';
import { uninstallLaunchd } from './uninstall-launchd.ts';
import { clientOfLogin, mayUninstall } from './uninstall-question.ts';

interface UninstallOptions {
  readonly user: boolean;
  readonly dryRun: boolean;
  readonly purge: boolean;
  readonly yes: boolean;
}

/** Takes the service away again; configuration, keys and state only when that is asked for. */
export async function uninstall(flag: string | null, options: UninstallOptions): Promise<number> {
  try {
    if (process.platform === 'darwin')
      return await uninstallLaunchd({ ...options, config: flag }, applySteps(options.dryRun, runProgram));
    checkSystemd(options.user);
    const unlock = await lock(lockFile(options.user));
    try {
      return await work(options);
    } finally {
      await unlock();
    }
  } catch (error) {
    return sayWhyNot(error);
  }
}

async function work({ user, dryRun, purge, yes }: UninstallOptions): Promise<number> {
  const { steps, notes } = user ? await planForUser(purge) : await planForSystem(purge);
  const changes = await changesOf(steps, runProgram);
  if (changes.length === 0) report('nothing to do: tunneld is not installed as a service');
  else if (dryRun) {
    printChanges(changes);
    report('nothing was changed (--dry-run)');
  } else {
    const config = await (user ? ownConfig() : systemConfig()).catch(() => null);
    if (!(await mayUninstall({ purge, yes, config, client: clientOfLogin() }))) return EXIT.failed;
    // Not taken back where something fails: what is gone is what was to go.
    for (const change of changes) await applyChanges([change], runProgram, reportChange);
  }
  for (const note of notes) report(note);
  return EXIT.ok;
}

async function systemConfig() {
  return await loadConfig(CONFIG, serviceEnvironment(systemEnvironment()));
}

async function ownConfig() {
  return await loadConfig(join(homedir(), '.config/tunneld/config.yaml'), systemEnvironment());
}

async function planForSystem(purge: boolean) {
  return planRemoval({ manager: systemManager(runProgram), unitFile: UNIT_FILE, purge }, runProgram);
}

async function planForUser(purge: boolean) {
  const manager = userManager(runProgram);
  await checkManager(manager);
  const { steps, notes } = await planUnitRemoval({ manager, unitFile: userUnitFile(homedir()), purge });
  const directories = [join(homedir(), '.config/tunneld'), join(homedir(), '.local/state/tunneld')];
  if (purge) steps.push(...directories.map((path) => ({ type: 'remove', path }) as const));
  else notes.push(`configuration, keys and state are left: ${directories.join(', ')} (--purge removes them)`);
  return { steps, notes };
}

import { join } from 'node:path';
import { homedir } from 'node:os';
import { systemEnvironment } from '../../config/input/environment.ts';
import { loadConfig } from '../../config/load.ts';
import { applyChanges, changesOf } from '../../install/steps/apply-changes.ts';
import { withLock } from '../../install/steps/lock.ts';
import { systemManager, userManager } from '../../install/systemd/manager.ts';
import { CONFIG, serviceEnvironment, UNIT_FILE } from '../../install/systemd/service-paths.ts';
import { planRemoval, planUnitRemoval } from '../../install/plan-removal.ts';
import { runProgram } from '../../install/steps/run-program.ts';
import { checkManager, userUnitFile } from '../../install/plan-user.ts';
import { lockFile } from './install.ts';
import { applySteps, printChanges, reportChange } from '../text/changes-text.ts';
import { requireSystemd } from './require-systemd.ts';
import { report } from '../text/report.ts';
import { uninstallLaunchd, type UninstallOptions } from './uninstall-launchd.ts';
import { clientOfLogin, confirmUninstall } from './uninstall-question.ts';

/** Removes the service; configuration, keys and state only with `purge`. */
export async function uninstall(flag: string | null, options: UninstallOptions): Promise<void> {
  if (process.platform === 'darwin')
    return await uninstallLaunchd(flag, options, applySteps(options.dryRun, runProgram));
  requireSystemd(options.user);
  await withLock(lockFile(options.user), () => work(options));
}

async function work({ user, dryRun, purge, yes }: UninstallOptions): Promise<void> {
  const { steps, notes } = user
    ? await planForUser(purge)
    : await planRemoval({ manager: systemManager(runProgram), unitFile: UNIT_FILE, purge }, runProgram);
  const changes = await changesOf(steps, runProgram);
  if (changes.length === 0) report('nothing to do: tunneld is not installed as a service');
  else if (dryRun) {
    printChanges(changes);
    report('nothing was changed (--dry-run)');
  } else {
    const here = systemEnvironment();
    const config = await (
      user
        ? loadConfig(join(homedir(), '.config/tunneld/config.yaml'), here)
        : loadConfig(CONFIG, serviceEnvironment(here))
    ).catch(() => null);
    await confirmUninstall({ purge, yes, config, client: clientOfLogin() });
    // Nothing is rolled back where something fails: what is gone was to go.
    for (const change of changes) await applyChanges([change], runProgram, reportChange);
  }
  for (const note of notes) report(note);
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

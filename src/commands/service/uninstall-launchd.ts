import { access } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { type ConfigEnvironment, systemEnvironment } from '../../config/input/environment.ts';
import { loadConfig } from '../../config/load.ts';
import { defaultStateDirectory } from '../../config/input/paths.ts';
import { systemLaunchctl } from '../../install/launchd/launchctl.ts';
import { launchdRemoval, unloadingSteps } from '../../install/launchd/plan.ts';
import { disableService, unloadService } from '../../install/launchd/unload.ts';
import type { Step } from '../../install/steps/step.ts';
import { systemClock } from '../../lib/async/clock.ts';
import { daemonEnvironment, requestedService } from './launchd-service.ts';
import { report } from '../text/report.ts';
import { clientOfLogin, confirmUninstall } from './uninstall-question.ts';
import { succeeds } from '../../lib/async/succeeds.ts';

export interface UninstallOptions {
  readonly user: boolean;
  readonly dryRun: boolean;
  /** Configuration with the keys beside it, state and logs too; keys in ~/.ssh stay. */
  readonly purge: boolean;
  readonly yes: boolean;
}

/** Stops the service of launchd and removes what makes it one. Rejects with a UserError. */
export async function uninstallLaunchd(
  flag: string | null,
  options: UninstallOptions,
  apply: (steps: readonly Step[]) => Promise<void>,
  caller: ConfigEnvironment = systemEnvironment(),
): Promise<void> {
  const service = await requestedService('uninstall', flag, options.user, caller);
  const state = defaultStateDirectory(daemonEnvironment(service, caller));
  const steps = launchdRemoval(service, options.purge ? [state, configurationOf(service.config)] : null);
  if (options.dryRun) {
    await apply([...unloadingSteps(service), ...steps]);
    return;
  }
  const config = await loadConfig(service.config, daemonEnvironment(service, caller)).catch(() => null);
  const { purge, yes } = options;
  await confirmUninstall({ purge, yes, config, client: clientOfLogin() });
  const launchctl = systemLaunchctl(process.env);
  const installed = await succeeds(access(service.plist));
  const loaded = await unloadService(service, { clock: systemClock, launchctl });
  if (loaded || installed) await disableService(service, launchctl);
  await apply(steps);
  report(`${loaded || installed ? 'uninstalled' : 'there was no'} ${service.target}`);
}

/** A directory named tunneld is removed with all that is in it; from another one only the file is. */
function configurationOf(config: string): string {
  return basename(dirname(config)) === 'tunneld' ? dirname(config) : config;
}

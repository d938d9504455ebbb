import { lstat, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type ConfigEnvironment, systemEnvironment } from '../../config/input/environment.ts';
import { loadConfig } from '../../config/load.ts';
import { filesOf } from '../../install/systemd/config-files.ts';
import { systemLaunchctl } from '../../install/launchd/launchctl.ts';
import { loadService } from '../../install/launchd/load.ts';
import { launchdPlan, loadingSteps } from '../../install/launchd/plan.ts';
import { crashLog, type LaunchdService, ownDirectories, serviceEnvironment } from '../../install/launchd/service.ts';
import { isLoaded } from '../../install/launchd/unload.ts';
import { FILE_VAULT, hasFileVault, launchdWarnings } from '../../install/launchd/warnings.ts';
import { readAsOwner } from '../../install/steps/effective-user.ts';
import { runProgram } from '../../install/steps/run-program.ts';
import type { Step } from '../../install/steps/step.ts';
import { sleep, systemClock } from '../../lib/async/clock.ts';
import { escapeControls } from '../../lib/text.ts';
import { VERSION } from '../../lib/version.ts';
import type { StatusDocument } from '../../status/document.ts';
import { statusAt } from '../find/daemon-status.ts';
import { UserError } from '../../lib/user-error.ts';
import { daemonEnvironment, requestedService } from './launchd-service.ts';
import { showStatus } from '../daemon/status.ts';
import { report } from '../text/report.ts';
import { orElse } from '../../lib/or-else.ts';

export interface InstallOptions {
  /** For this user alone. */
  readonly user: boolean;
  /** Prints what would be done, and does nothing. */
  readonly dryRun: boolean;
  readonly start: boolean;
  readonly yes: boolean;
}

/**
 * Makes tunneld a service of this Mac and waits until it answers. `apply` applies the steps, or in a dry run prints them.
 * Rejects with a UserError or a ConfigError.
 */
export async function installLaunchd(
  flag: string | null,
  options: InstallOptions,
  apply: (steps: readonly Step[]) => Promise<void>,
  caller: ConfigEnvironment = systemEnvironment(),
): Promise<void> {
  await installService(await requestedService('install', flag, options.user, caller), options, apply, caller);
}

/** The same for a service whose plist may be elsewhere, as on trial. */
export async function installService(
  service: LaunchdService,
  options: Pick<InstallOptions, 'dryRun' | 'start'>,
  apply: (steps: readonly Step[]) => Promise<void>,
  caller: ConfigEnvironment,
): Promise<void> {
  const config = await loadConfig(service.config, daemonEnvironment(service, caller));
  const { secrets, knownHosts } = filesOf(config);
  for (const text of launchdWarnings(service, [...secrets, ...knownHosts])) report(`note: ${text}`);
  if (await hasFileVault(runProgram)) report(`note: ${FILE_VAULT}`);
  const plan = launchdPlan(service, await ownFiles(service));
  if (options.dryRun) {
    await apply([...plan, ...loadingSteps(service)]);
    return;
  }
  const before = { plist: textOf(service.plist), daemon: await daemonAt(config.control.socket) };
  await apply(plan);
  if (!options.start) {
    report(`${service.plist} is installed; the service starts with this system`);
    return;
  }
  const unchanged =
    before.plist !== null && before.plist === textOf(service.plist) && !(await isNewerThan(service, before.daemon));
  const launchctl = systemLaunchctl(process.env);
  if (unchanged && before.daemon?.version === VERSION && (await isLoaded(service, launchctl))) {
    report(`nothing to do: ${service.target} is installed and runs`);
    return;
  }
  await loadService(service, unchanged, { clock: systemClock, launchctl, env: process.env });
  if (!(await startsAnew(config.control.socket, before.daemon?.pid ?? null))) throw await silence(service);
  report(`installed: ${service.target} runs as ${service.account.name}`);
  await showStatus(service.config);
}

async function ownFiles(service: LaunchdService): Promise<readonly string[]> {
  const files: string[] = [];
  for (const { path } of ownDirectories(service)) {
    for (const name of await readdir(path).catch(() => [])) {
      const file = join(path, name);
      const stat = await lstat(file);
      // The account may have put a link there to a file that is not its own.
      if (stat.isFile() && stat.nlink === 1) files.push(file);
    }
  }
  return files.toSorted();
}

/** Whether a daemon answers that did not run before. */
async function startsAnew(socket: string, before: number | null): Promise<boolean> {
  const deadline = systemClock.now() + START_MS;
  while (systemClock.now() < deadline) {
    const daemon = await daemonAt(socket);
    if (daemon !== null && daemon.pid !== before) return true;
    await sleep(systemClock, 250);
  }
  return false;
}

/** launchd may let ten seconds pass before the second start. */
const START_MS = 30_000;

/** Whether the plist is newer than the daemon: an installation was killed before launchd loaded it. */
async function isNewerThan({ plist }: LaunchdService, daemon: StatusDocument | null): Promise<boolean> {
  return daemon !== null && (await stat(plist)).mtimeMs > Date.parse(daemon.startedAt);
}

async function daemonAt(socket: string): Promise<StatusDocument | null> {
  return statusAt([socket]).catch(() => null);
}

async function silence(service: LaunchdService): Promise<UserError> {
  const texts = [
    `launchd has loaded ${service.target}, but no daemon answers; launchd goes on starting it; last lines of its log:`,
  ];
  for (const file of [crashLog(service), serviceEnvironment(service)['TUNNELD_LOG_FILE'] ?? '']) {
    const lines = (textOf(file) ?? '').trimEnd().split('\n').slice(-5);
    for (const line of lines) if (line !== '') texts.push(`${file}: ${escapeControls(line)}`);
  }
  return new UserError(texts.join('\n'));
}

function textOf(path: string): string | null {
  // The log belongs to the account, which could have put a link there to what only root may read.
  return orElse(() => readAsOwner(path, MAX_LOG_BYTES).toString('utf8'), null);
}

/** Our own log ends at 5 MiB. */
const MAX_LOG_BYTES = 8 * 1024 * 1024;

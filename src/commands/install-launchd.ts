import { lstat, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type ConfigEnvironment, systemEnvironment } from '../config/input/environment.ts';
import { loadConfig } from '../config/load.ts';
import { filesOf } from '../install/systemd/config-files.ts';
import { systemLaunchctl } from '../install/launchd/launchctl.ts';
import { loadService } from '../install/launchd/load.ts';
import { launchdPlan, loadingSteps } from '../install/launchd/plan.ts';
import { crashLog, type LaunchdService, ownDirectories, serviceEnvironment } from '../install/launchd/service.ts';
import { isLoaded } from '../install/launchd/unload.ts';
import { FILE_VAULT, hasFileVault, launchdWarnings } from '../install/launchd/warnings.ts';
import { readAsOwner } from '../install/steps/effective-user.ts';
import { runProgram } from '../install/steps/run-program.ts';
import type { Step } from '../install/steps/step.ts';
import { sleep, systemClock } from '../lib/async/clock.ts';
import { escapeControls } from '../lib/text.ts';
import { VERSION } from '../lib/version.ts';
import type { StatusDocument } from '../status/document.ts';
import { statusAt } from './find/daemon-status.ts';
import { EXIT } from './text/exit-code.ts';
import { daemonEnvironment, requestedService } from './find/launchd-service.ts';
import { status } from './status.ts';
import { report } from './text/report.ts';

interface InstallOptions {
  /** What --config names. */
  readonly config: string | null;
  /** For this user's session alone. */
  readonly user: boolean;
  /** Says what would be done, and does nothing. */
  readonly dryRun: boolean;
  readonly start: boolean;
}

/**
 * Makes tunneld a service of this Mac and waits until it answers. `carryOut` makes the steps so, or in a dry run prints them.
 * Rejects with an InstallError or a ConfigError.
 */
export async function installLaunchd(
  options: InstallOptions,
  carryOut: (steps: readonly Step[]) => Promise<void>,
  caller: ConfigEnvironment = systemEnvironment(),
): Promise<number> {
  const service = await requestedService('install', options.config, options.user, caller);
  const config = await loadConfig(service.config, daemonEnvironment(service, caller));
  const { secrets, knownHosts } = filesOf(config);
  for (const text of launchdWarnings(service, [...secrets, ...knownHosts])) report(`note: ${text}`);
  if (await hasFileVault(runProgram)) report(`note: ${FILE_VAULT}`);
  const plan = launchdPlan(service, await ownFiles(service));
  if (options.dryRun) {
    await carryOut([...plan, ...loadingSteps(service)]);
    return EXIT.ok;
  }
  const before = { plist: await textOf(service.plist), daemon: await daemonAt(config.control.socket) };
  await carryOut(plan);
  if (!options.start) {
    report(`${service.plist} is there; it starts when this system does`);
    return EXIT.ok;
  }
  const unchanged =
    before.plist !== null && before.plist === (await textOf(service.plist)) && !(await isNews(service, before.daemon));
  const launchctl = systemLaunchctl(process.env);
  if (unchanged && before.daemon?.version === VERSION && (await isLoaded(service, launchctl))) {
    report(`nothing to do: ${service.target} is installed and runs`);
    return EXIT.ok;
  }
  await loadService(service, unchanged, { clock: systemClock, launchctl, env: process.env });
  if (!(await startsAnew(config.control.socket, before.daemon?.pid ?? null))) return await reportSilence(service);
  report(`installed: ${service.target} runs as ${service.account.name}`);
  // A tunnel that is not up yet is no failure of an installation.
  await status(service.config, null, { json: false, watch: false });
  return EXIT.ok;
}

async function ownFiles(service: LaunchdService): Promise<readonly string[]> {
  const files: string[] = [];
  for (const { path } of ownDirectories(service)) {
    for (const name of await readdir(path).catch(() => [])) {
      const file = join(path, name);
      const stat = await lstat(file);
      // The account may have linked something there that is not its own.
      if (stat.isFile() && stat.nlink === 1) files.push(file);
    }
  }
  return files.toSorted();
}

/** Whether a daemon answers that is another than before. */
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

/** Whether the plist is younger than what runs: an installation was killed before launchd heard of it. */
async function isNews({ plist }: LaunchdService, daemon: StatusDocument | null): Promise<boolean> {
  return daemon !== null && (await stat(plist)).mtimeMs > Date.parse(daemon.startedAt);
}

async function daemonAt(socket: string): Promise<StatusDocument | null> {
  return statusAt([socket]).catch(() => null);
}

async function reportSilence(service: LaunchdService): Promise<number> {
  report(`launchd has loaded ${service.target}, but no daemon answers; launchd goes on starting it. Its last words:`);
  for (const file of [crashLog(service), serviceEnvironment(service)['TUNNELD_LOG_FILE'] ?? '']) {
    const lines = ((await textOf(file)) ?? '').trimEnd().split('\n').slice(-5);
    for (const line of lines) if (line !== '') process.stderr.write(`${file}: ${escapeControls(line)}\n`);
  }
  return EXIT.failed;
}

async function textOf(path: string): Promise<string | null> {
  try {
    // The log is in the hands of the account, which could have linked it to what only root may read.
    return readAsOwner(path, MAX_LOG_BYTES).toString('utf8');
  } catch {
    return null;
  }
}

/** Our own log ends at 5 MiB. */
const MAX_LOG_BYTES = 8 * 1024 * 1024;

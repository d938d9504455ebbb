import { lstat, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '../config/config.ts';
import { type ConfigEnvironment, systemEnvironment } from '../config/environment.ts';
import { loadConfig } from '../config/load.ts';
import { ConfigError } from '../config/problem.ts';
import { ask } from '../control/client.ts';
import { systemLaunchctl } from '../install/launchd/launchctl.ts';
import { loadService } from '../install/launchd/load.ts';
import { launchdPlan, loadingSteps } from '../install/launchd/plan.ts';
import { crashLog, type LaunchdService, ownDirectories, serviceEnvironment } from '../install/launchd/service.ts';
import { isLoaded } from '../install/launchd/unload.ts';
import { launchdWarnings } from '../install/launchd/warnings.ts';
import type { Step } from '../install/step.ts';
import { sleep, systemClock } from '../lib/clock.ts';
import { escapeControls } from '../lib/text.ts';
import { VERSION } from '../lib/version.ts';
import type { StatusDocument } from '../supervisor/status.ts';
import { reportProblems } from './config-problems.ts';
import { EXIT } from './exit.ts';
import { daemonEnvironment, meantService, reportLaunchdError } from './launchd-service.ts';
import { status } from './status.ts';

interface InstallOptions {
  /** What --config names. */
  readonly config: string | null;
  /** For this user's session alone. */
  readonly user: boolean;
  /** Says what would be done, and does nothing. */
  readonly dryRun: boolean;
  readonly start: boolean;
}

/** Makes tunneld a service of this Mac and waits until it answers. `carryOut` makes the steps so, or in a dry run prints them. */
export async function installLaunchd(
  options: InstallOptions,
  carryOut: (steps: readonly Step[]) => Promise<void>,
  caller: ConfigEnvironment = systemEnvironment(),
): Promise<number> {
  try {
    const service = await meantService('install', options.config, options.user, caller);
    const config = await loadConfig(service.config, daemonEnvironment(service, caller));
    for (const text of launchdWarnings(service, filesOf(config))) process.stderr.write(`tunneld: note: ${text}\n`);
    const plan = launchdPlan(service, await ownFiles(service));
    if (options.dryRun) {
      await carryOut([...plan, ...loadingSteps(service)]);
      return EXIT.ok;
    }
    const before = { plist: await textOf(service.plist), daemon: await daemonAt(config.control.socket) };
    await carryOut(plan);
    if (!options.start) {
      process.stderr.write(`tunneld: ${service.plist} is there; it starts when this system does\n`);
      return EXIT.ok;
    }
    const unchanged =
      before.plist !== null &&
      before.plist === (await textOf(service.plist)) &&
      !(await isNews(service, before.daemon));
    const launchctl = systemLaunchctl(process.env);
    if (unchanged && before.daemon?.version === VERSION && (await isLoaded(service, launchctl))) {
      process.stderr.write(`tunneld: nothing to do: ${service.target} is installed and runs\n`);
      return EXIT.ok;
    }
    await loadService(service, unchanged, { clock: systemClock, launchctl, env: process.env });
    if (!(await startsAnew(config.control.socket, before.daemon?.pid ?? null))) return await reportSilence(service);
    process.stderr.write(`tunneld: installed: ${service.target} runs as ${service.account.name}\n`);
    // A tunnel that is not up yet is no failure of an installation.
    await status(service.config, null, { json: false, watch: false });
    return EXIT.ok;
  } catch (error) {
    return error instanceof ConfigError ? reportProblems(error) : reportLaunchdError(error);
  }
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

/** Those that it names, not those that ssh would try by itself. */
function filesOf({ tunnels }: Config): readonly string[] {
  return tunnels.flatMap((tunnel) => (tunnel.identityFilesConfigured ? tunnel.identityFiles : []));
}

/** Whether a daemon answers that is another than before. */
async function startsAnew(socket: string, before: number | null): Promise<boolean> {
  const deadline = systemClock.now() + START_MS;
  while (systemClock.now() < deadline) {
    const daemon = await daemonAt(socket);
    if (daemon !== null && daemon.pid !== before) return true;
    await sleep(systemClock, 250, new AbortController().signal);
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
  try {
    const answer = await ask([socket], { command: 'status' });
    return answer.ok ? answer.result : null;
  } catch {
    return null;
  }
}

async function reportSilence(service: LaunchdService): Promise<number> {
  process.stderr.write(
    `tunneld: launchd has loaded ${service.target}, but no daemon answers; launchd goes on starting it. Its last words:\n`,
  );
  for (const file of [crashLog(service), serviceEnvironment(service)['TUNNELD_LOG_FILE'] ?? '']) {
    const lines = ((await textOf(file)) ?? '').trimEnd().split('\n').slice(-5);
    for (const line of lines) if (line !== '') process.stderr.write(`${file}: ${escapeControls(line)}\n`);
  }
  return EXIT.failed;
}

async function textOf(path: string): Promise<string | null> {
  return readFile(path, 'utf8').catch(() => null);
}

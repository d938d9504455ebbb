import { type Clock, sleep } from '../../lib/async/clock.ts';
import { UserError } from '../../lib/user-error.ts';
import { LAUNCHCTL, type Launchctl, type LaunchctlAnswer } from './launchctl.ts';
import { startRescue } from './rescue.ts';
import type { LaunchdJob } from './service.ts';
import { isLoaded, noDomain, unloadService } from './unload.ts';

export interface LoadDeps {
  readonly clock: Clock;
  readonly launchctl: Launchctl;
  readonly env: NodeJS.ProcessEnv;
}

/**
 * Has launchd run the service with its present plist. Where the plist is loaded and `unchanged`, the program is only restarted. Else
 * the previous instance is unloaded first, and a rescue process loads the new one even if this process dies in between: it may have
 * been started through the very tunnel that ends here.
 */
export async function loadService(service: LaunchdJob, unchanged: boolean, deps: LoadDeps): Promise<void> {
  const loaded = await isLoaded(service, deps.launchctl);
  if (loaded && unchanged) return await restart(service, deps);
  const rescue = loaded ? startRescue(service, deps.env) : null;
  try {
    await unloadService(service, deps);
    await must(deps, 'enable', service.target);
    await bootstrap(service, deps);
    await kickstart(service, deps);
  } finally {
    rescue?.stop();
  }
}

/** By SIGTERM: KeepAlive starts it again. `kickstart -k` would send SIGKILL. */
async function restart(service: LaunchdJob, deps: LoadDeps): Promise<void> {
  await must(deps, 'enable', service.target);
  const { code } = await deps.launchctl('kill', 'SIGTERM', service.target);
  if (code !== LAUNCHCTL.ok) await kickstart(service, deps); // it was not running
}

/**
 * Retries, because some failures are temporary. A service that is loaded after a failure is the new one: the previous one is gone,
 * and launchd may still have been busy with an earlier call (https://github.com/openclaw/openclaw/pull/71413).
 */
async function bootstrap(service: LaunchdJob, { clock, launchctl }: LoadDeps): Promise<void> {
  const deadline = clock.now() + PATIENCE_MS;
  for (;;) {
    const answer = await launchctl('bootstrap', service.domain, service.plist);
    if (answer.code === LAUNCHCTL.ok || (await isLoaded(service, launchctl))) return;
    if (NO_DOMAIN.includes(answer.code)) throw noDomain(service);
    if (answer.code === LAUNCHCTL.disabled) await launchctl('enable', service.target);
    else if (!PASSING.includes(answer.code)) throw failed('bootstrap', answer);
    if (clock.now() >= deadline) throw notLoaded(service, answer);
    await sleep(clock, RETRY_MS);
  }
}

const NO_DOMAIN: readonly number[] = [LAUNCHCTL.noSuchDomain, LAUNCHCTL.notInThisDomain];
const PASSING: readonly number[] = [LAUNCHCTL.inputOutput, LAUNCHCTL.nowInProgress, LAUNCHCTL.alreadyInProgress];

/** Three times the longest time that was measured. */
const PATIENCE_MS = 15_000;
const RETRY_MS = 500;

/**
 * Starts the service where launchd did not, which happens in spite of KeepAlive (https://github.com/openbase-community/openbase/pull/15).
 * Without -k, which right after bootstrap may make launchd forget the service (https://github.com/openclaw/openclaw/pull/41952). Its
 * exit code is ignored: the caller waits until the daemon answers.
 */
async function kickstart({ target }: LaunchdJob, { launchctl }: LoadDeps): Promise<void> {
  await launchctl('kickstart', target);
}

async function must({ launchctl }: LoadDeps, command: string, target: string): Promise<void> {
  const answer = await launchctl(command, target);
  if (answer.code !== LAUNCHCTL.ok) throw failed(command, answer);
}

function failed(command: string, { code, text }: LaunchctlAnswer): UserError {
  return new UserError(`launchctl ${command} failed with ${code}: ${text}`);
}

/** Error 5 for so long does not come from a previous instance: the plist is bad, or the system forbids it. */
function notLoaded({ plist, target, kind }: LaunchdJob, { text }: LaunchctlAnswer): UserError {
  const owner = kind === 'daemon' ? 'root:wheel' : 'you';
  return new UserError(
    `launchd did not load ${plist}: ${text}\n` +
      `check: plutil -lint ${JSON.stringify(plist)} (is it a property list?); ls -l (owner ${owner}, mode 644?); ` +
      `launchctl print-disabled ${target.slice(0, target.lastIndexOf('/'))}; System Settings, General, Login Items (is it allowed?)`,
  );
}

import { type Clock, sleep } from '../../lib/async/clock.ts';
import { InstallError } from '../steps/install-error.ts';
import { LAUNCHCTL, type Launchctl, type LaunchctlAnswer } from './launchctl.ts';
import { startRescue } from './rescue.ts';
import type { LaunchdService } from './service.ts';
import { isLoaded, noDomain, unloadService } from './unload.ts';

export interface LoadDeps {
  readonly clock: Clock;
  readonly launchctl: Launchctl;
  readonly env: NodeJS.ProcessEnv;
}

/**
 * Has launchd run the service as its plist says now. Where the plist is `unchanged` and loaded, launchd only starts the program
 * anew, which it does by itself; else an older one has to go first, and a rescuer sees to it that the new one comes whatever becomes
 * of us: whoever calls this may have come through the very tunnel that ends here.
 */
export async function loadService(service: LaunchdService, unchanged: boolean, deps: LoadDeps): Promise<void> {
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

/** Politely, and it comes again since its plist says KeepAlive; `kickstart -k` would kill it. */
async function restart(service: LaunchdService, deps: LoadDeps): Promise<void> {
  await must(deps, 'enable', service.target);
  const { code } = await deps.launchctl('kill', 'SIGTERM', service.target);
  if (code !== LAUNCHCTL.ok) await kickstart(service, deps); // it did not run
}

/**
 * Again and again, for some of its failures pass. What is loaded after one is the new service: the older is gone, and launchd may
 * still be busy with a call before (https://github.com/openclaw/openclaw/pull/71413).
 */
async function bootstrap(service: LaunchdService, { clock, launchctl }: LoadDeps): Promise<void> {
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

/** Three times what was measured. */
const PATIENCE_MS = 15_000;
const RETRY_MS = 500;

/**
 * It starts by itself, but not always: with KeepAlive and all (https://github.com/openbase-community/openbase/pull/15). Without -k,
 * which right after bootstrap may make launchd forget the service (https://github.com/openclaw/openclaw/pull/41952). Whether it runs
 * is seen elsewhere, so that no failure of this matters.
 */
async function kickstart({ target }: LaunchdService, { launchctl }: LoadDeps): Promise<void> {
  await launchctl('kickstart', target);
}

async function must({ launchctl }: LoadDeps, command: string, target: string): Promise<void> {
  const answer = await launchctl(command, target);
  if (answer.code !== LAUNCHCTL.ok) throw failed(command, answer);
}

function failed(command: string, { code, text }: LaunchctlAnswer): InstallError {
  return new InstallError(`launchctl ${command} failed with ${code}: ${text}`);
}

/** Error 5 for so long is no older service that takes its time: it is the plist, or the system's own reasons. */
function notLoaded({ plist, target, kind }: LaunchdService, { text }: LaunchctlAnswer): InstallError {
  const owner = kind === 'daemon' ? 'root:wheel' : 'you';
  return new InstallError(
    `launchd does not load ${plist}: ${text}\n` +
      `look: plutil -lint ${JSON.stringify(plist)} (is it a property list?); ls -l (does it belong to ${owner}, with mode 644?); ` +
      `launchctl print-disabled ${target.slice(0, target.lastIndexOf('/'))}; System Settings, General, Login Items (is it allowed?)`,
  );
}

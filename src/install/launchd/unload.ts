import { type Clock, sleep } from '../../lib/async/clock.ts';
import { UserError } from '../../lib/user-error.ts';
import { LAUNCHCTL, type Launchctl } from './launchctl.ts';
import type { LaunchdService } from './service.ts';

/** Stops and unloads the service, and waits until it is unloaded. Resolves with whether it was loaded. */
export async function unloadService(
  service: Pick<LaunchdService, 'target'>,
  { clock, launchctl }: { readonly clock: Clock; readonly launchctl: Launchctl },
): Promise<boolean> {
  const { code, text } = await launchctl('bootout', service.target);
  if (NOT_LOADED.includes(code)) return false;
  if (!GOING.includes(code)) throw new UserError(`launchctl bootout failed with ${code}: ${text}`);
  // bootout returns before the service has ended (https://github.com/Opendray/opendray/pull/211).
  const deadline = clock.now() + PATIENCE_MS;
  while (await isLoaded(service, launchctl)) {
    if (clock.now() >= deadline) {
      throw new UserError(
        `launchd still lists ${service.target} after ${PATIENCE_MS / 1000} s: run this again, or restart the Mac; ${text}`.trim(),
      );
    }
    await sleep(clock, POLL_MS);
  }
  return code !== LAUNCHCTL.inputOutput;
}

/** ExitTimeOut of the plist is 15 seconds. */
const PATIENCE_MS = 30_000;
const POLL_MS = 250;

const NOT_LOADED: readonly number[] = [
  LAUNCHCTL.noSuchProcess,
  LAUNCHCTL.noSuchService,
  LAUNCHCTL.noSuchDomain,
  LAUNCHCTL.notInThisDomain,
];

/** Results of bootout after which `print` decides whether the service is unloaded. */
const GOING: readonly number[] = [
  LAUNCHCTL.ok,
  LAUNCHCTL.inputOutput,
  LAUNCHCTL.nowInProgress,
  LAUNCHCTL.alreadyInProgress,
];

/** Keeps launchd from loading the service at the next boot; launchd remembers this even without the plist. */
export async function disableService({ target }: Pick<LaunchdService, 'target'>, launchctl: Launchctl): Promise<void> {
  const { code, text } = await launchctl('disable', target);
  if (code !== LAUNCHCTL.ok && !NOT_LOADED.includes(code))
    throw new UserError(`launchctl disable failed with ${code}: ${text}`);
}

export async function isLoaded(service: Pick<LaunchdService, 'target'>, launchctl: Launchctl): Promise<boolean> {
  return (await launchctl('print', service.target)).code === LAUNCHCTL.ok;
}

export function noDomain({ domain, account }: Pick<LaunchdService, 'domain' | 'account'>): UserError {
  return new UserError(
    `the launchd domain ${domain} does not exist: an agent needs ${account.name} to be logged in at the screen of this Mac. ` +
      'Log in there and run this again, or install a daemon: sudo tunneld install',
  );
}

import { type Clock, sleep } from '../../lib/async/clock.ts';
import { InstallError } from '../steps/install-error.ts';
import { LAUNCHCTL, type Launchctl } from './launchctl.ts';
import type { LaunchdService } from './service.ts';

interface UnloadDeps {
  readonly clock: Clock;
  readonly launchctl: Launchctl;
}

/** Has launchd end the service and forget it, and waits until that is so; the answer is whether it was loaded. */
export async function unloadService(service: LaunchdService, { clock, launchctl }: UnloadDeps): Promise<boolean> {
  const { code, text } = await launchctl('bootout', service.target);
  if (NOT_LOADED.includes(code)) return false;
  if (!GOING.includes(code)) throw new InstallError(`launchctl bootout failed with ${code}: ${text}`);
  // It answers before the service has ended (https://github.com/Opendray/opendray/pull/211).
  const deadline = clock.now() + PATIENCE_MS;
  while (await isLoaded(service, launchctl)) {
    if (clock.now() >= deadline) {
      throw new InstallError(
        `launchd does not let go of ${service.target}: try again, or restart the Mac; ${text}`.trim(),
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

/** What bootout says of one that goes, or may go: print then tells. */
const GOING: readonly number[] = [
  LAUNCHCTL.ok,
  LAUNCHCTL.inputOutput,
  LAUNCHCTL.nowInProgress,
  LAUNCHCTL.alreadyInProgress,
];

/** Keeps launchd from loading it at the next start, which it remembers even when the plist is gone. */
export async function disableService({ target }: LaunchdService, launchctl: Launchctl): Promise<void> {
  const { code, text } = await launchctl('disable', target);
  if (code !== LAUNCHCTL.ok && !NOT_LOADED.includes(code))
    throw new InstallError(`launchctl disable failed with ${code}: ${text}`);
}

export async function isLoaded(service: LaunchdService, launchctl: Launchctl): Promise<boolean> {
  return (await launchctl('print', service.target)).code === LAUNCHCTL.ok;
}

export function noDomain({ domain, account }: LaunchdService): InstallError {
  return new InstallError(
    `launchd has no ${domain} now: agents need ${account.name} to be logged in at the screen of this Mac. ` +
      'Log in there and repeat this, or install a daemon: sudo tunneld install',
  );
}

import { execFile } from 'node:child_process';
import { InstallError } from '../steps/install-error.ts';

/** What launchctl answered: 0, or one of the numbers that `launchctl error N` explains, with its words. */
export interface LaunchctlAnswer {
  readonly code: number;
  readonly text: string;
}

export type Launchctl = (...args: readonly string[]) => Promise<LaunchctlAnswer>;

/**
 * The numbers that mean something to us, from <sys/errno.h> of macOS and from launchd's own list. `launchctl print` is asked for
 * its exit code alone: its output "is NOT API in any sense at all" (launchctl(1)).
 */
export const LAUNCHCTL = {
  ok: 0,
  /** ESRCH: bootout of what is not loaded (https://github.com/DeterminateSystems/nix-installer/issues/1148). */
  noSuchProcess: 3,
  /**
   * EIO, the answer to nearly everything: already loaded, an older one that is not gone yet, disabled, a bad plist, and for bootout
   * not loaded (https://github.com/jdx/mise/pull/10965). While an older one goes, it comes for about five seconds
   * (https://github.com/headroomlabs-ai/headroom/issues/1289).
   */
  inputOutput: 5,
  /** EINPROGRESS: bootout that goes on by itself (https://github.com/osquery/osquery/issues/5698). */
  nowInProgress: 36,
  /** EALREADY: an older one is going, or this one coming (https://github.com/Layr-Labs/d-inference/issues/1102). */
  alreadyInProgress: 37,
  /** What print says of gui/UID, where UID is not logged in at the screen (https://github.com/duh17/oppi/issues/38). */
  noSuchDomain: 112,
  /** What print says of what is not loaded (https://github.com/NousResearch/hermes-agent/pull/5536). */
  noSuchService: 113,
  /** Remembered from a `disable`, over uninstallation and restart (https://github.com/DeterminateSystems/nix-installer/issues/530). */
  disabled: 119,
  /** What the others say then (https://github.com/nix-community/home-manager/issues/4413). */
  notInThisDomain: 125,
} as const;

/** Calls the real launchctl. It may wait for a service to end, so it is given time. */
export function systemLaunchctl(env: NodeJS.ProcessEnv): Launchctl {
  return (...args) =>
    new Promise((resolve, reject) => {
      execFile('launchctl', args, { env, timeout: CALL_TIMEOUT_MS }, (error, stdout, stderr) => {
        if (error === null) resolve({ code: LAUNCHCTL.ok, text: stdout.trim() });
        else if (typeof error.code === 'number') resolve(failure(error.code, stderr || stdout));
        else reject(new InstallError(`launchctl ${args.join(' ')}: ${error.killed ? 'no answer' : error.message}`));
      });
    });
}

const CALL_TIMEOUT_MS = 60_000;

/** The number in the words (`Bootstrap failed: 5: Input/output error`) is the exit code too, as far as it fits. */
function failure(exitCode: number, text: string): LaunchctlAnswer {
  const printed = /^(?:\S+ failed|Could not \w+ service.*?): (\d+): /m.exec(text)?.[1];
  return { code: printed === undefined ? exitCode : Number(printed), text: text.trim() };
}

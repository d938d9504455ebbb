import { execFile } from 'node:child_process';
import { UserError } from '../../lib/user-error.ts';

/** The result of launchctl: 0, or a number that `launchctl error N` explains, and what it printed. */
export interface LaunchctlAnswer {
  readonly code: number;
  readonly text: string;
}

export type Launchctl = (...args: readonly string[]) => Promise<LaunchctlAnswer>;

/**
 * The exit codes that are distinguished, from <sys/errno.h> of macOS and from launchd's own list. Of `launchctl print` only the exit
 * code is used: its output "is NOT API in any sense at all" (launchctl(1)).
 */
export const LAUNCHCTL = {
  ok: 0,
  /** ESRCH: bootout of a service that is not loaded (https://github.com/DeterminateSystems/nix-installer/issues/1148). */
  noSuchProcess: 3,
  /**
   * EIO stands for nearly everything: already loaded, the previous instance not gone yet, disabled, a bad plist, and for bootout
   * not loaded (https://github.com/jdx/mise/pull/10965). While a previous instance ends, it comes for about five seconds
   * (https://github.com/headroomlabs-ai/headroom/issues/1289).
   */
  inputOutput: 5,
  /** EINPROGRESS: bootout continues in the background (https://github.com/osquery/osquery/issues/5698). */
  nowInProgress: 36,
  /** EALREADY: a previous instance is ending, or this one is starting (https://github.com/Layr-Labs/d-inference/issues/1102). */
  alreadyInProgress: 37,
  /** print of gui/UID while UID is not logged in at the screen (https://github.com/duh17/oppi/issues/38). */
  noSuchDomain: 112,
  /** print of a service that is not loaded (https://github.com/NousResearch/hermes-agent/pull/5536). */
  noSuchService: 113,
  /** Disabled; launchd remembers it across uninstallation and restart (https://github.com/DeterminateSystems/nix-installer/issues/530). */
  disabled: 119,
  /** What the other subcommands return for a missing domain (https://github.com/nix-community/home-manager/issues/4413). */
  notInThisDomain: 125,
} as const;

/** Calls launchctl, which may wait for a service to end: hence the long timeout. */
export function systemLaunchctl(env: NodeJS.ProcessEnv): Launchctl {
  return (...args) =>
    new Promise((resolve, reject) => {
      execFile('launchctl', args, { env, timeout: CALL_TIMEOUT_MS }, (error, stdout, stderr) => {
        if (error === null) resolve({ code: LAUNCHCTL.ok, text: stdout.trim() });
        else if (typeof error.code === 'number') resolve(failure(error.code, stderr || stdout));
        else
          reject(
            new UserError(
              `launchctl ${args.join(' ')}: ${error.killed ? `no result within ${CALL_TIMEOUT_MS / 1000} s` : error.message}`,
            ),
          );
      });
    });
}

const CALL_TIMEOUT_MS = 60_000;

/** The number in the text (`Bootstrap failed: 5: Input/output error`) is whole; the exit code is the same modulo 256. */
function failure(exitCode: number, text: string): LaunchctlAnswer {
  const printed = /^(?:\S+ failed|Could not \w+ service.*?): (\d+): /m.exec(text)?.[1];
  return { code: printed === undefined ? exitCode : Number(printed), text: text.trim() };
}

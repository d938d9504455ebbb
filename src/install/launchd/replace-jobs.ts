import { errorText } from '../../lib/text.ts';
import { UserError } from '../../lib/user-error.ts';
import { type LoadDeps, loadService } from './load.ts';
import { startRescue } from './rescue.ts';
import type { LaunchdService } from './service.ts';
import { disableService, unloadService } from './unload.ts';

/** A job of launchd that keeps tunnels up. */
export type LaunchdJob = Pick<LaunchdService, 'domain' | 'target' | 'plist' | 'kind' | 'account'>;

/** What takes the place of jobs. */
export interface Successor {
  /** Rejects where it could not log in beside them; nothing is stopped then. */
  tryBeside(): Promise<void>;
  start(): Promise<void>;
  /** Rejects where it does not do what they did. */
  prove(): Promise<void>;
  /** Takes back what start() did, wherever that ended. */
  undo(): Promise<void>;
}

/**
 * Puts a successor in the place of jobs, which both need the same ports. The jobs are disabled once the successor is proven; until then
 * each failure, and the end of this process, has launchd run them again. Rejects with a UserError.
 */
export async function replaceJobs(jobs: readonly LaunchdJob[], successor: Successor, deps: LoadDeps): Promise<void> {
  await successor.tryBeside();
  const rescues = jobs.map((job) => startRescue(job, deps.env));
  try {
    await stopAndProve(jobs, successor, deps);
    for (const job of jobs) await disableService(job, deps.launchctl);
  } catch (error) {
    const failed = await revert(jobs, successor, deps);
    const state =
      failed.length > 0
        ? `not all changes could be reverted: ${failed.join('; ')}`
        : 'all changes were reverted, and what kept the tunnels before runs again';
    throw new UserError(`${errorText(error)}\n${state}`, undefined, { cause: error });
  } finally {
    for (const rescue of rescues) rescue.stop();
  }
}

async function stopAndProve(jobs: readonly LaunchdJob[], successor: Successor, deps: LoadDeps): Promise<void> {
  for (const job of jobs) await unloadService(job, deps);
  await successor.start();
  await successor.prove();
}

/** Resolves with what could not be reverted. */
async function revert(jobs: readonly LaunchdJob[], successor: Successor, deps: LoadDeps): Promise<readonly string[]> {
  const failed: string[] = [];
  const note = (error: unknown) => failed.push(errorText(error));
  await successor.undo().catch(note);
  for (const job of jobs) await loadService(job, false, deps).catch(note);
  return failed;
}

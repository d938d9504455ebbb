import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { shellQuote } from '../../lib/shell-quote.ts';
import { errorText } from '../../lib/text.ts';
import { UserError } from '../../lib/user-error.ts';
import { revertedText } from '../steps/apply-changes.ts';
import { type LoadDeps, loadService } from './load.ts';
import { loadScript, runAtEnd } from './rescue.ts';
import type { LaunchdJob } from './service.ts';
import { disableService, unloadService } from './unload.ts';

/** What takes the place of jobs. */
export interface Successor {
  /** Rejects where it could not log in beside them; nothing is stopped then, and nothing is left. */
  tryBeside(): Promise<void>;
  /** Starts the successor on trial: a restart of the machine ends it. `work` is a folder that only this process uses. */
  start(work: string): Promise<void>;
  /** Rejects where it does not do what they did. */
  prove(): Promise<void>;
  /** Makes it last over a start of the machine, by writing `kept`. */
  keep(): Promise<void>;
  /** Takes back what these did, however far that went. */
  undo(): Promise<void>;
  /** The file with which it lasts, and its text then. */
  readonly kept: { readonly path: string; readonly text: string };
  /** For sh, in case this process is killed: `keep` makes what is kept run, `undo` reverts start(). */
  readonly scripts: { readonly keep: string; readonly undo: string };
}

/**
 * Stops jobs, starts a successor on the ports that they had, and disables them. The jobs run again after a failure, a restart of the machine
 * or the death of this process (runAtEnd), as long as the successor is not both proven and kept. Once it is, the successor runs in all
 * three cases: the file `kept`, which is replaced atomically, decides. Rejects with a UserError.
 */
export async function replaceJobs(jobs: readonly LaunchdJob[], successor: Successor, deps: LoadDeps): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), 'tunneld-takeover-'));
  try {
    await writeFile(join(work, KEPT), successor.kept.text, { mode: 0o600 });
    await successor.tryBeside();
    const rescue = runAtEnd(endScript(jobs, successor, work), deps.env);
    await stopAndKeep(jobs, successor, work, rescue, deps);
    await disableAll(jobs, deps);
    rescue.stop();
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** In the folder: what is kept, and whether it was proven. */
const KEPT = 'kept';
const PROVEN = 'proven';

function endScript(jobs: readonly LaunchdJob[], { kept, scripts }: Successor, work: string): string {
  const disable = jobs.map(({ target }) => `launchctl disable ${shellQuote(target)}\n`).join('');
  const [folder, path] = [work, kept.path].map(shellQuote);
  return `if [ -e ${folder}/${PROVEN} ] && cmp -s ${path} ${folder}/${KEPT}; then
${scripts.keep}
${disable}else
${scripts.undo}
${loadScript(jobs)}fi
rm -rf ${folder}
`;
}

async function stopAndKeep(
  jobs: readonly LaunchdJob[],
  successor: Successor,
  work: string,
  rescue: { stop(): void },
  deps: LoadDeps,
): Promise<void> {
  try {
    for (const job of jobs) await unloadService(job, deps);
    await successor.start(work);
    await successor.prove();
    await writeFile(join(work, PROVEN), '');
    await successor.keep();
  } catch (error) {
    await rm(join(work, PROVEN), { force: true });
    const failed = await revert(jobs, successor, deps);
    // What is not reverted now, it tries again.
    if (failed.length === 0) rescue.stop();
    const state = revertedText(failed, ', and what kept the tunnels before runs again');
    throw new UserError(`${errorText(error)}\n${state}`, undefined, { cause: error });
  }
}

/** Resolves with what could not be reverted. */
async function revert(jobs: readonly LaunchdJob[], successor: Successor, deps: LoadDeps): Promise<readonly string[]> {
  const failed: string[] = [];
  const note = (error: unknown) => failed.push(errorText(error));
  await successor.undo().catch(note);
  for (const job of jobs) await loadService(job, false, deps).catch(note);
  return failed;
}

/** The successor runs: what cannot be disabled is left to a person. */
async function disableAll(jobs: readonly LaunchdJob[], { launchctl }: LoadDeps): Promise<void> {
  const failed: string[] = [];
  for (const job of jobs)
    await disableService(job, launchctl).catch((error: unknown) =>
      failed.push(
        `${job.target} is stopped, but not disabled, and would start beside the new tunnels with this Mac: ${errorText(error)}; run launchctl disable ${job.target}`,
      ),
    );
  if (failed.length > 0) throw new UserError(failed.join('\n'));
}

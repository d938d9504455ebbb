import { type Change, applyChanges, changesOf, showChange } from '../../install/steps/apply-changes.ts';
import type { Runner } from '../../install/steps/run-program.ts';
import type { Step } from '../../install/steps/step.ts';
import { escapeLines } from '../../lib/text.ts';
import { report } from './report.ts';

/** Applies steps and prints what that changes; a dry run only prints. */
export function applySteps(dryRun: boolean, run: Runner): (steps: readonly Step[]) => Promise<void> {
  return async (steps) => {
    const changes = await changesOf(steps, run);
    if (dryRun) printChanges(changes);
    else await applyChanges(changes, run, reportChange);
  };
}

/** Prints all that would be done on standard output, with the differences of files. */
export function printChanges(changes: readonly Change[]): void {
  process.stdout.write(changes.map((change) => `${escapeLines(showChange(change))}\n`).join(''));
}

/** Prints what was done, in a line. */
export function reportChange(change: Change): void {
  report(showChange(change).split('\n', 1)[0]!);
}

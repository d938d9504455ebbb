import { type Change, applyChanges, changesOf, showChange } from '../../install/steps/apply-changes.ts';
import type { Runner } from '../../install/steps/run-program.ts';
import type { Step } from '../../install/steps/step.ts';
import { escapeLines } from '../../lib/text.ts';
import { report } from './report.ts';

/** Makes steps so, and says what that changed; in a dry run it is only shown. */
export function applySteps(dryRun: boolean, run: Runner): (steps: readonly Step[]) => Promise<void> {
  return async (steps) => {
    const changes = await changesOf(steps, run);
    if (dryRun) printChanges(changes);
    else await applyChanges(changes, run, reportChange);
  };
}

/** All that would be done, on standard output, with how files differ. */
export function printChanges(changes: readonly Change[]): void {
  process.stdout.write(changes.map((change) => `${escapeLines(showChange(change))}\n`).join(''));
}

/** What was done, in a line. */
export function reportChange(change: Change): void {
  report(showChange(change).split('\n', 1)[0]!);
}

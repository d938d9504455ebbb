import { type Change, carryOut, changesOf, showChange } from '../../install/steps/carry-out.ts';
import type { Runner } from '../../install/steps/run-program.ts';
import type { Step } from '../../install/steps/step.ts';
import { escapeLines } from '../../lib/text.ts';
import { tell } from './tell.ts';

/** Makes steps so, and says what that changed; in a dry run it is only shown. */
export function makeSo(dryRun: boolean, run: Runner): (steps: readonly Step[]) => Promise<void> {
  return async (steps) => {
    const changes = await changesOf(steps, run);
    if (dryRun) printChanges(changes);
    else await carryOut(changes, run, tellChange);
  };
}

/** All that would be done, on standard output, with how files differ. */
export function printChanges(changes: readonly Change[]): void {
  process.stdout.write(changes.map((change) => `${escapeLines(showChange(change))}\n`).join(''));
}

/** What was done, in a line. */
export function tellChange(change: Change): void {
  tell(showChange(change).split('\n', 1)[0]!);
}

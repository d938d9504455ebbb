import { carryOut, changesOf, showChange } from '../install/carry-out.ts';
import type { Runner } from '../install/run-program.ts';
import type { Step } from '../install/step.ts';
import { tell } from './service-context.ts';

/** Makes steps so, and says what that changed; in a dry run it is only shown. */
export function makeSo(dryRun: boolean, run: Runner): (steps: readonly Step[]) => Promise<void> {
  return async (steps) => {
    const changes = await changesOf(steps, run);
    if (dryRun) process.stdout.write(changes.map((change) => `${showChange(change)}\n`).join(''));
    else await carryOut(changes, run, (change) => tell(showChange(change).split('\n', 1)[0]!));
  };
}

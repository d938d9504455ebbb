import type { Keeper } from '../../../install/keepers/keeper.ts';
import type { SortedKeepers } from '../../../install/keepers/plan-from.ts';
import { shellWord } from '../../../lib/shell-quote.ts';
import { UserError } from '../../../lib/user-error.ts';
import type { Questions } from '../../text/prompt.ts';
import { report } from '../../text/report.ts';
import type { Outcome } from './outcome.ts';

/** How `init --from` was called. */
export interface FromOptions {
  readonly dryRun: boolean;
  readonly yes: boolean;
}

/** Those that `what` names: `autossh` all, else the name or file of one. Throws a UserError where it names none. */
export function chosenKeepers(all: readonly Keeper[], what: string): readonly Keeper[] {
  if (/^(?:autossh|ssh|all)$/.test(what)) return all;
  const found = all.filter(
    ({ name, file }) => what === name || what === file || `${what}.service` === name || `process ${what}` === name,
  );
  if (found.length > 0) return found;
  const names = all.map(({ name }) => name);
  throw new UserError(
    `${JSON.stringify(what)} keeps no ssh tunnel here${names.length === 0 ? ', and nothing else does' : `; what does: ${names.join(', ')}`}`,
  );
}

/** For a person: what it is, and what it runs. */
export function describeKeeper({ name, file, commands, running }: Keeper): string {
  const where = file === null || name.startsWith(file) ? '' : ` (${file})`;
  const what = commands.map(({ program, args, user }) => `${[program, ...args].map(shellWord).join(' ')}, as ${user}`);
  return `${name}${where}${running ? ', which runs' : ''}: ${what.join('; ')}`;
}

export function reportFound({ taken, left }: SortedKeepers): void {
  for (const keeper of taken) report(describeKeeper(keeper));
  for (const { keeper, why } of left) report(`${keeper.name} is left as it is: ${why}`);
}

/** Whether there is anything to take over; says so where there is nothing. */
export function hasTaken({ taken, left }: SortedKeepers): boolean {
  if (taken.length === 0)
    report(left.length > 0 ? 'nothing was changed' : 'nothing to do: nothing here keeps an ssh tunnel up');
  return taken.length > 0;
}

/** To be called when all is planned. `file` is the configuration that has what is taken over. */
export function noteTaken({ taken }: SortedKeepers, file: string, outcome: Outcome): void {
  outcome.file = file;
  outcome.changes.push(...taken.map((keeper) => `take over ${describeKeeper(keeper)}`));
}

/** Rejects with a UserError where they are not to be replaced. */
export async function confirmTaking({ taken }: SortedKeepers, { confirm }: Questions): Promise<void> {
  const names = taken.map(({ name }) => name).join(', ');
  if (!(await confirm(`Let tunneld keep these tunnels, in the place of ${names}?`)))
    throw new UserError('nothing was changed');
}

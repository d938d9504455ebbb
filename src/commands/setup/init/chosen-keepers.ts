import type { Keeper } from '../../../install/keepers/keeper.ts';
import { shellWord } from '../../../lib/shell-quote.ts';
import { UserError } from '../../../lib/user-error.ts';

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

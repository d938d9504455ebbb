import { CommanderError } from 'commander';
import { debuglog } from 'node:util';
import { printError } from '../commands/text/report.ts';
import { EXIT } from '../lib/exit-code.ts';
import { asUserError, UserError } from '../lib/user-error.ts';

/**
 * Prints why a command failed, on standard error; returns its exit code. All that is thrown below ends here: a UserError with its own
 * message and code, an error of the system (a file that cannot be read) with what it says, anything else as the bug that it is, whose
 * stack is printed with NODE_DEBUG=tunneld.
 */
export function exitCodeOf(error: unknown): number {
  // Commander has printed it.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  const known = asUserError(error) ?? new UserError(bugText(error));
  printError(known);
  if (known !== error) debug('%o', error);
  return known.exit;
}

const debug = debuglog('tunneld');

function bugText(error: unknown): string {
  const what = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return `unexpected error: ${what.replaceAll('\n', ' ')} (a bug: please report this line, with the command and \`tunneld --version\`, where you have tunneld from; NODE_DEBUG=tunneld prints more)`;
}

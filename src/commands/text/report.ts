import { errorPrefix } from '../../lib/log/output.ts';
import { escapeLines } from '../../lib/text.ts';
import type { UserError } from '../../lib/user-error.ts';

/** Prints a message on standard error, beside what a command prints on standard output. Whatever is in it moves no cursor. */
export function report(text: string): void {
  process.stderr.write(`tunneld: ${escapeLines(text)}\n`);
}

/** Prints why something cannot be done. */
export function printError(error: UserError): void {
  const prefix = errorPrefix(process.stderr, process.env);
  for (const line of error.lines) process.stderr.write(`${prefix}${escapeLines(line)}\n`);
}

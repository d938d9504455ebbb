import { escapeLines } from '../../lib/text.ts';
import { EXIT } from './exit-code.ts';

/** Says something to whoever called the command, beside what it answers on standard output. Whatever is in it moves no cursor. */
export function report(text: string): void {
  process.stderr.write(`tunneld: ${escapeLines(text)}\n`);
}

/** The same of what did not work; the answer is the exit code. */
export function fail(text: string, code: number = EXIT.failed): number {
  report(text);
  return code;
}

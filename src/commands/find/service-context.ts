import { shellWord } from '../../lib/shell-quote.ts';
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { InstallError } from '../../install/steps/install-error.ts';
import { ConfigError } from '../../config/input/problem.ts';
import { reportProblems } from '../text/config-problems.ts';
import { EXIT } from '../text/exit-code.ts';
import { NoTerminalError } from '../text/prompt.ts';
import { report } from '../text/report.ts';

/** Refuses what neither install nor uninstall can do anything about. */
export function checkSystemd(user: boolean): void {
  if (!existsSync('/run/systemd/system'))
    throw new InstallError(
      'systemd does not run here (there is no /run/systemd/system): let what starts programs on this system run `tunneld run`, ' +
        'which stays in the foreground and ends with SIGTERM',
    );
  const isRoot = process.getuid?.() === 0;
  if (user && isRoot)
    throw new InstallError('--user is for an account of your own: run this as that user, without sudo');
  if (!user && !isRoot) throw new InstallError(`this needs root: ${sudoLine()}`);
}

/** This very command for sudo, which may look for programs elsewhere than we were found. */
function sudoLine(): string {
  const [node = '', script = '', ...args] = process.argv;
  const program = basename(script) === 'tunneld' ? [script] : [node, script];
  return ['sudo', ...program, ...args].map(shellWord).join(' ');
}

/** Says why not, and answers the exit code. */
export function sayWhyNot(error: unknown): number {
  if (error instanceof ConfigError) {
    reportProblems(error);
    return EXIT.config;
  }
  if (error instanceof NoTerminalError) report(error.message);
  else if (error instanceof InstallError) report(error.message.replaceAll('\n', '\n  '));
  else throw error;
  return error instanceof InstallError ? error.exit : EXIT.usage;
}

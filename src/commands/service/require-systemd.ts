import { shellWord } from '../../lib/shell-quote.ts';
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { UserError } from '../../lib/user-error.ts';

/** Throws where neither install nor uninstall can do anything: without systemd, or as the wrong user. */
export function requireSystemd(user: boolean): void {
  if (!existsSync('/run/systemd/system'))
    throw new UserError(
      'systemd does not run here (there is no /run/systemd/system): have your service manager start `tunneld run`, ' +
        'which stays in the foreground and ends with SIGTERM',
    );
  const isRoot = process.getuid?.() === 0;
  if (user && isRoot) throw new UserError('--user is for an account of your own: run this as that user, without sudo');
  if (!user && !isRoot) throw new UserError(`this needs root: ${sudoLine()}`);
}

/** This very command for sudo, which may not find the program by its name. */
function sudoLine(): string {
  const [node = '', script = '', ...args] = process.argv;
  const program = basename(script) === 'tunneld' ? [script] : [node, script];
  return ['sudo', ...program, ...args].map(shellWord).join(' ');
}

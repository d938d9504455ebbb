import { EXIT } from '../lib/exit-code.ts';
import { exitCodeOf } from './error-boundary.ts';
import { createProgram } from './program.ts';

/** Runs the command that the arguments name; returns its exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  // The options of ssh have a grammar of their own; what is tunneld's is taken out before.
  const { ours, sshArguments } = splitRun(argv);
  let code: number = EXIT.ok;
  const program = createProgram(sshArguments, (exit) => (code = exit));
  try {
    await program.parseAsync(ours, { from: 'user' });
    return code;
  } catch (error) {
    return exitCodeOf(error);
  }
}

/** The arguments of `tunneld run` that are not tunneld's own but those of ssh; for other commands there are none. */
function splitRun(argv: readonly string[]): { readonly ours: string[]; readonly sshArguments: string[] } {
  const ours: string[] = [];
  const sshArguments: string[] = [];
  let isRun = false;
  for (let index = 0; index < argv.length; index += 1) {
    const argument = argv[index]!;
    if (/^--(?:config=.*|print-config|strict|help)$/s.test(argument)) ours.push(argument);
    else if (argument === '--config') ours.push(...argv.slice(index, (index += 1) + 1));
    else if (isRun) sshArguments.push(argument);
    else if (argument !== 'run') return { ours: [...argv], sshArguments: [] };
    else {
      ours.push(argument);
      isRun = true;
    }
  }
  return { ours, sshArguments };
}

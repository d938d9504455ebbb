import { CommanderError } from 'commander';
import { EXIT } from '../commands/text/exit-code.ts';
import { report } from '../commands/text/report.ts';
import { errorText } from '../lib/text.ts';
import { createProgram } from './program.ts';

/** argv to command to exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  // The options of ssh have a grammar of their own; what is tunneld's is taken out before.
  const { ours, sshArguments } = splitRun(argv);
  let code: number = EXIT.ok;
  const program = createProgram(sshArguments, (exit) => (code = exit));
  try {
    await program.parseAsync(ours, { from: 'user' });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    report(errorText(error));
    return EXIT.failed;
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
    else if (argument.startsWith('-')) return { ours: [...argv], sshArguments: [] };
    else if (argument !== 'run') return { ours: [...argv], sshArguments: [] };
    else {
      ours.push(argument);
      isRun = true;
    }
  }
  return { ours, sshArguments };
}

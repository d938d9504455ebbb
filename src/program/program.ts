import { Command, CommanderError } from '@commander-js/extra-typings';
import { versionLine } from '../commands/version.ts';
import { addDailyCommands } from './daemon-commands.ts';
import { createDefinitions } from './definitions.ts';
import { addServiceCommands } from './service-commands.ts';
import { addSetupCommands } from './setup-commands.ts';

/**
 * All commands with their options and descriptions. The code of a command is loaded when it is called, so that a quick one starts quickly.
 * `onExit` is called with the exit code of the command that ran.
 */
export function createProgram(sshArguments: readonly string[], onExit: (code: number) => void): Command {
  const program = new Command('tunneld')
    .description('Keeps SSH tunnels up.')
    .option('-V, --version', 'print the versions of tunneld and Node.js, and whether native crypto is available')
    .option('--config <file>', 'use this configuration file')
    .configureHelp({ showGlobalOptions: true })
    .exitOverride()
    .showSuggestionAfterError()
    .showHelpAfterError('(see tunneld --help)');
  const definitions = createDefinitions(program, sshArguments, onExit);
  program.on('option:version', () => {
    process.stdout.write(`${versionLine()}\n`);
    throw new CommanderError(0, 'commander.version', '');
  });
  addDailyCommands(program, definitions);
  addSetupCommands(program, definitions);
  addServiceCommands(program, definitions);
  return program;
}

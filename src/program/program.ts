import type { Shared } from './shared.ts';
import { Command, CommanderError } from 'commander';
import { versionLine } from '../commands/version.ts';
import { addDailyCommands } from './daemon-commands.ts';
import { addServiceCommands } from './service-commands.ts';
import { addSetupCommands } from './setup-commands.ts';

/**
 * All commands with their options and descriptions; what they do is loaded when they are called, so that a quick one starts quickly.
 * `onExit` hears the exit code of the command that ran.
 */
export function createProgram(sshArguments: readonly string[], onExit: (code: number) => void): Command {
  const program = new Command('tunneld')
    .description('Keeps SSH tunnels up.')
    .option('-V, --version', 'tell the version, that of Node, and whether encryption is compiled')
    .option('--config <file>', 'the configuration file')
    .configureHelp({ showGlobalOptions: true })
    .exitOverride()
    .showSuggestionAfterError()
    .showHelpAfterError('(see tunneld --help)');
  const shared: Shared = {
    run:
      (action) =>
      async (...args) =>
        onExit(await action(...args)),
    config: () => program.opts<{ config?: string }>().config ?? null,
    sshArguments,
  };
  program.on('option:version', () => {
    process.stdout.write(`${versionLine()}\n`);
    throw new CommanderError(0, 'commander.version', '');
  });
  addDailyCommands(program, shared);
  addSetupCommands(program, shared);
  addServiceCommands(program, shared);
  return program;
}

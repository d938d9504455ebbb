import type { Command } from 'commander';
import { EXIT } from '../lib/exit-code.ts';

/** What the definitions of commands share. */
export interface Definitions {
  /**
   * Commander's action for a command. `load` gets all its options (see optionsOf) and resolves with its code, which is called with the file
   * that --config names (null for none), its arguments (null for one that was not given) and its options. Its result is the exit code, 0
   * without one.
   */
  run(load: (options: never) => Promise<CommandCode>): (...args: unknown[]) => Promise<void>;
  /** The arguments of `tunneld run` that are not tunneld's own but those of ssh. */
  readonly sshArguments: readonly string[];
}

type CommandCode = (config: string | null, ...args: never[]) => Promise<number | void>;

/** `onExit` is called with the exit code of the command that ran. */
export function createDefinitions(
  program: Command,
  sshArguments: readonly string[],
  onExit: (code: number) => void,
): Definitions {
  return {
    run:
      (load) =>
      async (...given) => {
        // Commander calls with the arguments, then the options, then the command.
        const args = given.slice(0, -2).map((argument) => argument ?? null);
        const options = optionsOf(given.at(-1) as Command);
        const { config = null } = program.opts<{ config?: string }>();
        const command = await load(options as never);
        onExit((await command(config, ...([...args, options] as never[]))) ?? EXIT.ok);
      },
    sshArguments,
  };
}

/** All options of a command: false for a switch that was not given, null for a value that was not given and has no default. */
function optionsOf(command: Command): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    command.options.map((option) => {
      const name = option.attributeName();
      return [name, command.getOptionValue(name) ?? (option.isBoolean() ? false : null)];
    }),
  );
}

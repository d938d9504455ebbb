import type { Command } from 'commander';
import { EXIT } from '../lib/exit-code.ts';

/** What the definitions of commands share. */
export interface Definitions {
  /**
   * Commander's action for a command: `action` is called with its arguments, null for one that was not given, and all its options (see
   * optionsOf). Its result is the exit code, 0 without one.
   */
  run(action: (...args: never[]) => Promise<number | void>): (...args: unknown[]) => Promise<void>;
  /** The file that --config names, or null. */
  config(): string | null;
  /** The arguments of `tunneld run` that are not tunneld's own but those of ssh. */
  readonly sshArguments: readonly string[];
}

/** `onExit` is called with the exit code of the command that ran. */
export function createDefinitions(
  program: Command,
  sshArguments: readonly string[],
  onExit: (code: number) => void,
): Definitions {
  return {
    run:
      (action) =>
      async (...given) => {
        // Commander calls with the arguments, then the options, then the command.
        const args = given.slice(0, -2).map((argument) => argument ?? null);
        const options = optionsOf(given.at(-1) as Command);
        onExit((await action(...([...args, options] as never[]))) ?? EXIT.ok);
      },
    config: () => program.opts<{ config?: string }>().config ?? null,
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

import type { Command, OptionValues } from '@commander-js/extra-typings';
import { EXIT } from '../lib/exit-code.ts';

/** What the definitions of commands share. */
export interface Definitions {
  /**
   * Gives a command its action. `load` gets all its options (see optionsOf) and resolves with its code, which is called with the file
   * that --config names (null for none), its arguments (null for one that was not given) and its options, as its definition types them.
   * Its result is the exit code, 0 without one.
   */
  run<Args extends unknown[], Options extends OptionValues>(
    command: Command<Args, Options>,
    load: NoInfer<(options: AllOptions<Options>) => Promise<CommandCode<Args, Options>>>,
  ): void;
  /** The arguments of `tunneld run` that are not tunneld's own but those of ssh. */
  readonly sshArguments: readonly string[];
}

type CommandCode<Args extends unknown[], Options> = (
  config: string | null,
  ...args: [...{ [Index in keyof Args]: OrNull<Args[Index]> }, AllOptions<Options>]
) => Promise<number | void>;

type OrNull<T> = undefined extends T ? Exclude<T, undefined> | null : T;

/** As optionsOf() returns them. */
type AllOptions<Options> = {
  [Name in keyof Options]-?: Exclude<Options[Name], undefined> extends true
    ? boolean
    : {} extends Pick<Options, Name>
      ? Exclude<Options[Name], undefined> | null
      : Options[Name];
};

/** `onExit` is called with the exit code of the command that ran. */
export function createDefinitions(
  program: Command<[], { config?: string }>,
  sshArguments: readonly string[],
  onExit: (code: number) => void,
): Definitions {
  return {
    run: (command, load) =>
      void command.showHelpAfterError(`(see ${program.name()} ${command.name()} --help)`).action(async () => {
        const options = optionsOf(command);
        const { config = null } = program.opts();
        const code = await load(options as never);
        const args = command.processedArgs.map((argument) => argument ?? null);
        onExit((await code(config, ...([...args, options] as never))) ?? EXIT.ok);
      }),
    sshArguments,
  };
}

/** All options of a command: false for a switch that was not given, null for a value that was not given and has no default. */
function optionsOf(command: Pick<Command<unknown[]>, 'options' | 'getOptionValue'>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    command.options.map((option) => {
      const name = option.attributeName();
      return [name, command.getOptionValue(name) ?? (option.isBoolean() ? false : null)];
    }),
  );
}

import { importSource } from './import-source.mjs';

/** All commands with their options and arguments as plain data, from the program itself, so that the documents cannot go stale. */
export async function describeProgram() {
  const { createProgram } = await importSource('program/program.ts');
  return describe(createProgram([], () => {}));
}

function describe(command) {
  const help = command.createHelp(); // it knows what is hidden, and what commander adds by itself
  return {
    name: command.name(),
    aliases: command.aliases(),
    description: command.description(),
    usage: command.usage(),
    arguments: command.registeredArguments.map((argument) => ({
      name: argument.name(),
      description: argument.description,
      choices: argument.argChoices ?? [],
    })),
    options: help.visibleOptions(command).map(describeOption),
    commands: help.visibleCommands(command).map(describe),
  };
}

/** `value` is the name of the option's argument, null for a switch. */
function describeOption({ flags, short, long, description, argChoices, defaultValue }) {
  return {
    names: [short, long].filter((name) => name !== undefined),
    value: /[<[]([^>\]]+)[>\]]/.exec(flags)?.[1] ?? null,
    description,
    choices: argChoices ?? [],
    repeatable: Array.isArray(defaultValue),
    default: ['string', 'number'].includes(typeof defaultValue) ? String(defaultValue) : null,
  };
}

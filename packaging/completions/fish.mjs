import { completeWith, namedCommands, quoted, TUNNELS_AWK, USUAL_FILES } from './complete-with.mjs';

/** The completion for fish. */
export function fishCompletion(program) {
  const commands = namedCommands(program);
  const names = commands.map(({ name }) => name).join(' ');
  return `# Completion of tunneld for fish, made from the program's own description.
function __tunneld_tunnels
  set -l words (commandline -opc)
  set -l index (contains -i -- --config $words)
  test -n "$index"; and set -l config (string replace -r '^~' $HOME -- $words[(math $index + 1)])
  for file in "$config" ${USUAL_FILES}
    test -r "$file"; or continue
    awk '${TUNNELS_AWK}' $file
    return
  end
end

function __tunneld_commands
  string split ' ' ${quoted(names)}
end

complete -c tunneld -f
${[
  ...program.options.map((option) => optionLine(option, null)),
  ...commands.map(({ name, description }) => line(null, ['-a', name, '-d', quoted(description)], names)),
  ...commands.flatMap(({ name, options, arguments: [argument] }) => [
    ...options.filter(({ names }) => !names.includes('--help')).map((option) => optionLine(option, name)),
    ...(argument ? argumentLine(completeWith(argument), name) : []),
  ]),
].join('\n')}
`;
}

function optionLine(option, command) {
  const names = option.names.flatMap((name) =>
    name.startsWith('--') ? ['-l', name.slice(2)] : [name.length === 2 ? '-s' : '-o', name.slice(1)],
  );
  const value = option.value === null ? [] : valueOf(completeWith(option));
  const parts = [...names, ...value, '-d', quoted(option.description)];
  return command === null ? ['complete -c tunneld', ...parts].join(' ') : line(command, parts);
}

function valueOf(what) {
  if (what === 'files') return ['-r', '-F'];
  const words = offered(what);
  return words === '' ? ['-x'] : ['-x', '-a', quoted(words)];
}

function argumentLine(what, command) {
  if (what === 'files') return [line(command, ['-F'])];
  const words = offered(what);
  return words === '' ? [] : [line(command, ['-a', quoted(words)])];
}

function offered(what) {
  if (Array.isArray(what)) return what.join(' ');
  return { users: '(__fish_complete_users)', commands: '(__tunneld_commands)', tunnels: '(__tunneld_tunnels)' }[what];
}

/** A completion after a command, or before any of `all`. */
function line(command, parts, all) {
  const when = command === null ? `not __fish_seen_subcommand_from ${all}` : `__fish_seen_subcommand_from ${command}`;
  return ['complete -c tunneld', '-n', quoted(when), ...parts].join(' ');
}

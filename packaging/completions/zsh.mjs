import { completeWith, namedCommands, optionsOf, quoted, TUNNELS_FUNCTION } from './complete-with.mjs';

/** The completion for zsh, as a function to autoload from fpath. */
export function zshCompletion(program) {
  const commands = namedCommands(program);
  return `#compdef tunneld
# Completion of tunneld for zsh, made from the program's own description.
${TUNNELS_FUNCTION}

_tunneld_names() {
  compadd -- \${(f)"$(_tunneld_tunnels "\${opt_args[--config]:-$config}")"}
}

_tunneld_commands() {
  local -a commands=(
${commands.map(({ name, description }) => `    ${quoted(`${name}:${escaped(description)}`)}`).join('\n')}
  )
  _describe command commands
}

_tunneld() {
  local curcontext="$curcontext" state line config
  typeset -A opt_args
  _arguments -C \\
${program.options.map((option) => `    ${optionSpec(option)} \\`).join('\n')}
    '1:command:_tunneld_commands' \\
    '*::argument:->argument' && return
  [ "$state" = argument ] || return
  config=\${opt_args[--config]}
  case \${words[1]} in
${commands.map((command) => commandCase(program, command)).join('\n')}
  esac
}

_tunneld "$@"
`;
}

function commandCase(program, command) {
  const specs = optionsOf(program, command).map(optionSpec);
  const [argument] = command.arguments;
  if (argument)
    specs.push(quoted(`*:${escaped(argument.description || argument.name)}:${action(completeWith(argument))}`));
  return `    ${command.name}) _arguments ${specs.join(' ')} ;;`;
}

function optionSpec(option) {
  const { names, value, description, repeatable } = option;
  const argument = value === null ? '' : `:${escaped(value)}:${action(completeWith(option))}`;
  const others = repeatable ? '*' : `(${names.join(' ')})`;
  return names.map((name) => quoted(`${others}${name}[${escaped(description)}]${argument}`)).join(' ');
}

function action(what) {
  if (Array.isArray(what)) return what.length === 0 ? '' : `(${what.join(' ')})`;
  return { files: '_files', users: '_users', commands: '_tunneld_commands', tunnels: '_tunneld_names' }[what];
}

/** Escapes the characters that end a part of a specification. */
function escaped(text) {
  return text.replaceAll(/[\\:[\]]/g, '\\$&');
}

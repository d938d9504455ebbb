import { completeWith, namedCommands, optionsOf, quoted, TUNNELS_FUNCTION } from './complete-with.mjs';

/** The completion for bash 3.2 (macOS) or later, without other packages. */
export function bashCompletion(program) {
  const commands = namedCommands(program);
  return `# Completion of tunneld for bash, made from the program's own description.
${TUNNELS_FUNCTION}

_tunneld() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD - 1]} command= config= index
  COMPREPLY=()
  for ((index = 1; index < COMP_CWORD; index++)); do
    case \${COMP_WORDS[index]} in
      --config) config=\${COMP_WORDS[++index]} ;;
      -*) ;;
      *) command=\${command:-\${COMP_WORDS[index]}} ;;
    esac
  done
  case "$command $before" in
${[['*', program], ...commands.map((command) => [command.name, command])].flatMap(values).join('\n')}
  esac
  case "$command $word" in
${[
  `    ' -'*) ${words(optionNames(program.options))} ;;`,
  `    ' '*) ${words(commands.map(({ name }) => name))} ;;`,
  ...commands.flatMap((command) => wordsAfter(program, command)),
].join('\n')}
  esac
}

_tunneld_files() {
  # readline's own completion is better; where compopt is missing, plain names.
  compopt -o default 2>/dev/null || COMPREPLY=($(compgen -f -- "$1"))
}

complete -F _tunneld tunneld
`.replaceAll('$COMMANDS', commands.map(({ name }) => name).join(' '));
}

/** Completes the values of options. */
function values([name, { options }]) {
  return options
    .filter(({ value }) => value !== null)
    .map((option) => {
      const patterns = option.names.map((each) => (name === '*' ? `*' ${each}'` : `'${name} ${each}'`)).join(' | ');
      return `    ${patterns}) ${offer(completeWith(option))}; return ;;`;
    });
}

function wordsAfter(program, command) {
  const [argument] = command.arguments;
  const argumentLine = argument && `    '${command.name} '*) ${offer(completeWith(argument))} ;;`;
  return [
    `    '${command.name} -'*) ${words(optionNames(optionsOf(program, command)))} ;;`,
    ...(argumentLine === undefined ? [] : [argumentLine]),
  ];
}

function offer(what) {
  if (Array.isArray(what)) return what.length === 0 ? ':' : words(what);
  return {
    files: '_tunneld_files "$word"',
    users: 'COMPREPLY=($(compgen -u -- "$word"))',
    commands: 'COMPREPLY=($(compgen -W "$COMMANDS" -- "$word"))',
    tunnels: 'COMPREPLY=($(compgen -W "$(_tunneld_tunnels "$config")" -- "$word"))',
  }[what];
}

function words(list) {
  return `COMPREPLY=($(compgen -W ${quoted(list.join(' '))} -- "$word"))`;
}

function optionNames(options) {
  return options.flatMap(({ names }) => names);
}

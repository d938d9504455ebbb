/** The completions of an argument or of an option's value: words, or a kind of things to look up. */
export function completeWith({ name, value, choices, description }) {
  if (choices.length > 0) return choices;
  const called = (value ?? name).toLowerCase();
  if (called === 'file' || called === 'ssh') return 'files'; // among the options of ssh are files, and hosts are typed
  if (called === 'command') return 'commands';
  if (called === 'user') return 'users';
  if (called === 'name' && /^a tunnel\b/.test(description)) return 'tunnels';
  return [];
}

/** All options of a command: its own and those of the program, without --version. */
export function optionsOf(program, command) {
  const shared = program.options.filter(({ names, value }) => value !== null || names.includes('--help'));
  return [...new Map([...shared, ...command.options].map((option) => [option.names.join(), option])).values()];
}

/** Commands with all their names. */
export function namedCommands(program) {
  return program.commands.flatMap((command) =>
    [command.name, ...command.aliases].map((called) => ({ ...command, name: called })),
  );
}

/**
 * Reads the names of the tunnels, the keys below `tunnels:`, from the configuration: asking the daemon would start Node.js at every press
 * of Tab, and needs root.
 */
export const TUNNELS_AWK =
  '/^tunnels:/ { inside = 1; next } /^[^ #]/ { inside = 0 } ' +
  'inside && /^ +[a-z0-9][a-z0-9_-]*:/ { depth = match($0, /[^ ]/); if (!first) first = depth; ' +
  'if (depth == first) { sub(/^ +/, ""); sub(/:.*/, ""); print } }';

export const USUAL_FILES = [
  '"$TUNNELD_CONFIG"',
  '/etc/tunneld/config.yaml',
  '/usr/local/etc/tunneld/config.yaml',
  '"$HOME/.config/tunneld/config.yaml"',
].join(' ');

/** For bash and zsh: prints the names of the tunnels. The argument is the value of --config. */
export const TUNNELS_FUNCTION = `_tunneld_tunnels() {
  local file
  for file in "\${1/#\\~/$HOME}" ${USUAL_FILES.replace('$TUNNELD_CONFIG', '${TUNNELD_CONFIG-}')}; do
    [ -r "$file" ] || continue
    awk '${TUNNELS_AWK}' "$file"
    return
  done
}`;

/** A word in single quotes, for all three shells; it must not contain a backslash. */
export function quoted(text) {
  return `'${text.replaceAll("'", `'"'"'`)}'`;
}

import { basename } from 'node:path';
import { shellWords } from './shell-words.ts';
import { assignments, readUnit, splitWords } from './unit-text.ts';

/** The ssh or autossh that a unit runs. */
export interface OldCommand {
  readonly program: 'ssh' | 'autossh';
  readonly args: readonly string[];
  /** Whose home, keys and ssh_config it uses. */
  readonly user: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly directory: string;
}

/** What is needed to understand a unit besides its text. */
export interface UnitSurroundings {
  readonly hostname: string;
  /** The text of a file of EnvironmentFile=, or null. */
  readonly readText: (path: string) => string | null;
  readonly homeOf: (user: string) => string | null;
}

/** Recognises a unit that runs ssh or autossh; the text is why it is none. `text` is what `systemctl cat` prints. */
export function oldCommand(text: string, around: UnitSurroundings): OldCommand | string {
  const unit = readUnit(text);
  const all = (key: string) => unit.get(`Service.${key}`) ?? [];
  const [line, ...more] = all('ExecStart');
  if (line === undefined) return 'it has no ExecStart';
  if (more.length > 0) return 'it has several ExecStart lines';

  const user = all('User').at(-1) ?? 'root';
  const home = around.homeOf(user) ?? '/root';
  const environment = {
    HOME: home,
    USER: user,
    LOGNAME: user,
    ...environmentOf(all('Environment'), all('EnvironmentFile'), around),
  };
  const words = execStartWords(line, environment, around);
  if (typeof words === 'string') return words;
  const command = unwrap(words, environment);
  if (command === null) return `its command is not plainly ssh or autossh: ${line}`;
  const directory = (all('WorkingDirectory').at(-1) ?? '/').replace(/^-/, '').replace(/^~$/, home);
  return { ...command, user, directory };
}

function environmentOf(
  lines: readonly string[],
  files: readonly string[],
  { readText }: UnitSurroundings,
): Record<string, string> {
  const own = lines.flatMap((line) => splitWords(line) ?? []);
  const fromFiles = files.flatMap((file) =>
    (readText(file.replace(/^-/, '')) ?? '')
      .split('\n')
      .filter((line) => !/^\s*[#;]/.test(line))
      .flatMap((line) => (splitWords(line) ?? []).join(' ')),
  );
  return assignments([...own, ...fromFiles]);
}

/** systemd.service(5), COMMAND LINES: prefixes, words, specifiers, variables. */
function execStartWords(
  line: string,
  environment: Readonly<Record<string, string>>,
  { hostname }: UnitSurroundings,
): readonly string[] | string {
  const [, prefixes = '', rest = ''] = /^([-@:+!|]*)\s*(.*)$/s.exec(line) ?? [];
  const words = splitWords(rest);
  if (words === null) return `its ExecStart has a quote without an end: ${line}`;
  const specifiers: Readonly<Record<string, string>> = {
    '%': '%',
    h: '/root',
    u: 'root',
    H: hostname,
    n: 'tunnel.service',
    N: 'tunnel',
    p: 'tunnel',
    t: '/run',
    S: '/var/lib',
    E: '/etc',
  };
  let unknown = '';
  const expanded = words.flatMap((word) => {
    const text = word.replaceAll(/%(.)/gs, (all, letter: string) => {
      unknown ||= letter in specifiers ? '' : all;
      return specifiers[letter] ?? all;
    });
    if (prefixes.includes(':')) return [text];
    const whole = /^\$([A-Za-z_]\w*)$/.exec(text);
    if (whole !== null) return (environment[whole[1]!] ?? '').split(/\s+/).filter(Boolean);
    return [
      text.replaceAll(/\$\$|\$\{(\w+)\}/g, (_, name: string | undefined) =>
        name === undefined ? '$' : (environment[name] ?? ''),
      ),
    ];
  });
  if (unknown !== '') return `its ExecStart has ${unknown}, which tunneld does not know: ${line}`;
  return prefixes.includes('@') ? [expanded[0] ?? '', ...expanded.slice(2)] : expanded;
}

/** Through shells, `env` and `exec` to the program itself. */
function unwrap(
  words: readonly string[],
  environment: Readonly<Record<string, string>>,
): Pick<OldCommand, 'program' | 'args' | 'environment'> | null {
  const [first = '', ...rest] = words;
  const name = basename(first);
  if (/^(?:ba|da|a)?sh$/.test(name)) {
    const script = /^-[a-z]*c$/.test(rest[0] ?? '') ? rest[1] : undefined;
    const inner = script === undefined ? null : shellWords(script, environment);
    return inner === null ? null : unwrap(inner, environment);
  }
  if (name === 'env' || name === 'exec') return unwrap(rest, environment);
  const given = assignments([first]);
  if (Object.keys(given).length > 0) return unwrap(rest, { ...environment, ...given });
  return name === 'ssh' || name === 'autossh' ? { program: name, args: rest, environment } : null;
}

import { adHocSocket, adHocState } from './paths.ts';
import { parseCommandLine } from './parse.ts';
import { type Config, UNOBSERVED, type ConfigProblem, DEFAULT_PING } from '../../model/config.ts';
import type { ConfigEnvironment } from '../input/environment.ts';
import { reportSharedListeners } from '../resolve/shared-listeners.ts';
import { readMapping } from '../schema/mapping.ts';
import { collectFindings } from '../input/findings.ts';
import { ConfigError } from '../input/problem.ts';
import { defaultLogFile } from '../input/paths.ts';
import { resolveTunnel } from '../resolve/resolve.ts';
import { Reading } from '../ssh-config/reading.ts';
import { ROWS } from '../schema/keys.ts';
import { tunnelSchema } from '../schema/schema.ts';

/**
 * The configuration of a command line of ssh or autossh, completed from ssh_config. Rejects with a ConfigError, whose problems with
 * arguments have line 0.
 */
export async function adHocConfig(argv: readonly string[], name: string, env: ConfigEnvironment): Promise<Config> {
  const line = parseCommandLine(argv, OWN_KEYS);
  const problems: ConfigProblem[] = [];
  const refuse = (argument: string, message: string) => problems.push({ file: argument, line: 0, column: 0, message });
  for (const { argument, message } of line.problems) refuse(argument, message);
  const { findings, notes, warnings } = collectFindings(problems);
  for (const note of [...line.notes, ...autosshNotes(env.env)]) notes.add(note);
  const about = (key: string) => `-o ${key}`;
  const raw = { ...line.own, ...(line.destination ? { host: line.destination } : {}) };
  const written = readMapping(tunnelSchema(env), raw, [], ([key, ...rest], message) => {
    const isHost = key === 'host';
    const argument = isHost ? (line.destination ?? '') : about(String(key));
    refuse(argument, [...(isHost ? rest : [key, ...rest]), message].join(' '));
  });
  if (line.destination === null) refuse('tunneld run', 'has no destination: add [user@]host');
  const tunnel = await resolveTunnel(
    name,
    line.configFile === null ? written : { ...written, sshConfig: line.configFile },
    {
      env,
      findings,
      reading: new Reading(),
      first: line.options,
      shared: {},
      reportKey: (key, message) => refuse(about(key), `${key} ${message}`),
    },
  );
  if (written.proxy && line.options.some(({ key }) => key === 'proxycommand'))
    refuse(
      about('ProxyCommand'),
      'cannot be combined with proxy: the command makes the whole connection to the server',
    );
  reportSharedListeners(
    [{ spec: tunnel, flawed: false }],
    (_, message) => refuse('tunneld run', `a forward ${message}`),
    () => {},
    () => 'another forward',
  );
  if (tunnel.forwards.length === 0 && problems.length === 0)
    refuse('tunneld run', 'has no forward, and neither has ssh_config for this host: add -R, -L or -D');
  if (problems.length > 0) throw new ConfigError(unique(problems));
  return {
    file: COMMAND_LINE,
    tunnels: [tunnel],
    network: { ping: DEFAULT_PING },
    log: { level: LEVELS[Math.min(line.verbosity, 2)] ?? 'info', file: defaultLogFile(env) },
    control: { socket: adHocSocket(name, env) },
    ...UNOBSERVED,
    stateDirectory: adHocState(name, env),
    notes: [`the name of this tunnel is ${name}: see \`tunneld status ${name}\``, ...notes],
    warnings: [...warnings],
    conflicts: [],
  };
}

/** Stands for the path of a configuration file. */
const COMMAND_LINE = 'command line';

const LEVELS: Readonly<Record<number, Config['log']['level']>> = { [-1]: 'error', 0: 'info', 1: 'debug', 2: 'trace' };

/** A name for the tunnel of a command line: its destination, with the characters that names of tunnels may have. */
export function adHocName(argv: readonly string[]): string {
  const { destination } = parseCommandLine(argv, OWN_KEYS);
  const name = (destination ?? '').toLowerCase().replaceAll(/[^a-z0-9_-]+/g, '-');
  return name.replaceAll(/^[-_]+|-+$/g, '').slice(0, 60) || 'tunnel';
}

/** Keys of a tunnel that ssh_config does not have, without sshConfig, which is -F. */
const OWN_KEYS = ROWS.filter(([name, { ssh }]) => ssh === undefined && name !== 'sshConfig').map(([name]) => name);

/** autossh(1), ENVIRONMENT. */
function autosshNotes(env: ConfigEnvironment['env']): string[] {
  const names = Object.keys(env).filter((key) => key.startsWith('AUTOSSH_') && env[key] !== undefined);
  if (names.length === 0) return [];
  return [
    `${names.toSorted().join(', ')}: without effect, because tunneld checks the connection and retries by itself`,
  ];
}

function unique(problems: readonly ConfigProblem[]): ConfigProblem[] {
  return [...new Map(problems.map((problem) => [JSON.stringify(problem), problem])).values()];
}

import { dirname } from 'node:path';
import type { Config } from './config.ts';
import { readDocument, type SourceDocument } from './document.ts';
import type { ConfigEnvironment } from './environment.ts';
import { reportSharedListeners } from './listeners.ts';
import { readMapping, type Report } from './mapping.ts';
import { defaultControlSocket, defaultStateDirectory } from './paths.ts';
import { ConfigError, type ConfigProblem } from './problem.ts';
import { fileSchema, tunnelSchema } from './schema.ts';
import { unknownKey } from './suggest.ts';
import { readDefaults, readTunnels } from './tunnels.ts';
import { isMapping } from './value.ts';

/** The configuration that `text` says; `file` is the absolute path it came from. Throws a ConfigError with all its problems. */
export function parseConfig(text: string, file: string, env: ConfigEnvironment): Config {
  const document = readDocument(text);
  const problems: ConfigProblem[] = document.problems.map((problem) => ({ file, ...problem }));
  const report: Report = (path, message, at = 'value') => {
    const { line, column, label } = document.locate(path, at);
    problems.push({ file, line, column, message: `${label} ${message}` });
  };
  const config = readConfig(document, file, env, report);
  if (config === null || problems.length > 0) throw new ConfigError(problems.toSorted(byPosition));
  return config;
}

const PING = ['8.8.8.8', '1.1.1.1'];

/** Null where nothing of the file could be read; that is then reported. */
function readConfig(document: SourceDocument, file: string, env: ConfigEnvironment, report: Report): Config | null {
  if (!hasKeys(document, report)) return null;
  const place = { directory: dirname(file), home: env.home, env: env.env };
  const schema = tunnelSchema(place);
  const top = readMapping(fileSchema(place), document.value, [], report, explainFor(Object.keys(schema.shape)));
  const defaults = readDefaults(top.defaults, place, report);
  const tunnels = readTunnels(top.tunnels, schema, defaults, env, report);
  reportSharedListeners(tunnels, report, (path) => document.locate(path, 'value').line);
  return {
    file,
    tunnels: tunnels.map(({ spec }) => spec),
    network: { ping: top.network?.ping ?? PING },
    log: { level: top.log?.level ?? 'info', file: top.log?.file ?? null },
    control: { socket: top.control?.socket ?? defaultControlSocket(env) },
    stateDirectory: top.stateDirectory ?? defaultStateDirectory(env),
  };
}

function hasKeys({ value }: SourceDocument, report: Report): boolean {
  if (value === null) report([], 'is empty: it needs at least one tunnel under tunnels');
  else if (value !== undefined && !isMapping(value)) {
    report([], `must be a mapping of keys such as tunnels, not ${Array.isArray(value) ? 'a list' : 'a single value'}`);
  }
  return isMapping(value);
}

/** A tunnel's key at the top of the file is in the wrong place, not unknown. */
function explainFor(tunnelKeys: readonly string[]) {
  return (key: string, known: readonly string[]): string => {
    if (!tunnelKeys.includes(key)) return unknownKey(key, [...known, ...tunnelKeys]);
    return 'is a key of a tunnel: write it below the name of one under tunnels, or for all tunnels under defaults';
  };
}

function byPosition(a: ConfigProblem, b: ConfigProblem): number {
  return a.line - b.line || a.column - b.column;
}

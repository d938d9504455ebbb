import { DEFAULT_PING, type Config, type ConfigProblem } from '../model/config.ts';
import { dirname } from 'node:path';
import { readDocument, type SourceDocument } from './document.ts';
import type { ConfigEnvironment } from './input/environment.ts';
import { reportSharedListeners } from './resolve/shared-listeners.ts';
import { readMapping, type Report } from './schema/mapping.ts';
import { collectFindings, type Findings } from './input/findings.ts';
import { defaultControlSocket, defaultLogFile, defaultStateDirectory } from './input/paths.ts';
import { ConfigError, formatProblem } from './input/problem.ts';
import { SECTIONS } from './schema/file-options.ts';
import { fileSchema, tunnelSchema } from './schema/schema.ts';
import { unknownKey } from './schema/suggest.ts';
import { readDefaults, readTunnels } from './tunnels.ts';
import { isMapping } from './values/value.ts';
import { fieldsOf } from './resolve/defaults.ts';

/**
 * Parses a configuration and completes it from ssh_config; `file` is its absolute path. Rejects with a ConfigError with all its
 * problems.
 */
export async function parseConfig(text: string, file: string, env: ConfigEnvironment): Promise<Config> {
  const document = readDocument(text);
  const problems: ConfigProblem[] = document.problems.map((problem) => ({ file, ...problem }));
  const conflicts: ConfigProblem[] = [];
  const into =
    (list: ConfigProblem[]): Report =>
    (path, message, at = 'value') => {
      const { line, column, label } = document.locate(path, at);
      list.push({ file, line, column, message: `${label} ${message}` });
    };
  const { findings, notes, warnings } = collectFindings(problems);
  const config = await readConfig(document, file, env, findings, into(problems), into(conflicts));
  if (config === null || problems.length > 0) throw new ConfigError(sorted(problems, file));
  for (const conflict of conflicts) warnings.add(formatProblem(conflict));
  return { ...config, notes: [...notes], warnings: [...warnings], conflicts };
}

/** Null, with a report, where the file has no keys. */
async function readConfig(
  document: SourceDocument,
  file: string,
  env: ConfigEnvironment,
  findings: Findings,
  report: Report,
  conflict: Report,
): Promise<Omit<Config, 'notes' | 'warnings' | 'conflicts'> | null> {
  if (!hasKeys(document, report)) return null;
  const context = { ...env, directory: dirname(file), refusesTokens: true } as const;
  const here = { destination: '', ...env };
  const schema = tunnelSchema(context);
  const top = readMapping(fileSchema(context), document.value, [], report, explainFor(Object.keys(schema.shape)));
  const defaults = readDefaults(top.defaults, context, report);
  const tunnels = await readTunnels(top.tunnels, schema, defaults, env, findings, report);
  reportSharedListeners(tunnels, report, conflict, (path) => `line ${document.locate(path, 'value').line}`);
  return {
    file,
    tunnels: tunnels.map(({ spec }) => spec),
    network: { ping: top.network?.ping ?? DEFAULT_PING },
    log: { level: top.log?.level ?? 'info', file: top.log?.file ?? defaultLogFile(env) },
    control: { socket: top.control?.socket ?? defaultControlSocket(env) },
    metrics: fieldsOf(SECTIONS.metrics, top.metrics ?? {}, here),
    heartbeat: fieldsOf(SECTIONS.heartbeat, top.heartbeat ?? {}, here),
    onChange: fieldsOf(SECTIONS.onChange, top.onChange ?? {}, here),
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
    return 'is a key of a tunnel: move it below the name of a tunnel, or for all tunnels below defaults';
  };
}

/** Sorted by line, those of this file first. Each once, because several tunnels may read the same file of ssh. */
function sorted(problems: readonly ConfigProblem[], file: string): ConfigProblem[] {
  const different = new Map(problems.map((problem) => [formatProblem(problem), problem]));
  const inOrder = [...different.values()].toSorted(
    (a, b) =>
      Number(b.file === file) - Number(a.file === file) ||
      a.file.localeCompare(b.file) ||
      a.line - b.line ||
      a.column - b.column,
  );
  const first = inOrder.slice(0, MAX_PROBLEMS);
  const next = inOrder[MAX_PROBLEMS];
  if (next === undefined) return first;
  return [...first, { ...next, message: `${inOrder.length - first.length} more problems begin here` }];
}

/** A file of another format may have thousands. */
const MAX_PROBLEMS = 100;

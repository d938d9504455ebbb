import { resolve } from 'node:path';
import type { Config } from '../model/config.ts';
import type { ConfigEnvironment } from '../config/input/environment.ts';
import { defaultStateDirectory } from '../config/input/paths.ts';
import { peek } from '../config/read-leniently.ts';
import { ConfigError } from '../config/input/problem.ts';
import { isForeignLastGood, type LastGood, readLastGood } from './last-good.ts';
import { readText } from '../lib/files/read-small-file.ts';
import { reportProblems } from '../commands/text/config-problems.ts';
import { tell } from '../commands/text/tell.ts';

export interface FirstConfig {
  readonly config: Config;
  /** Why it is not what the file says, or null. */
  readonly problem: string | null;
  readonly lastGood: LastGood | null;
}

/**
 * What the daemon is to start with: what `load` answers or, where that is not valid, the last configuration of `file` that worked.
 * `file` is null where nothing may replace it. The problems are told on standard error in any case.
 */
export async function firstConfig(
  load: () => Promise<Config>,
  file: string | null,
  env: ConfigEnvironment,
): Promise<FirstConfig | { readonly exit: number }> {
  try {
    const config = await load();
    const lastGood = file === null ? null : await readLastGood(config.stateDirectory, config.file, env);
    return { config, problem: null, lastGood };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const exit = reportProblems(error);
    if (file === null) return { exit };
    const directory = await stateDirectoryOf(file, env);
    const lastGood = await readLastGood(directory, resolve(file), env);
    if (isForeignLastGood(directory))
      tell(`what worked before, in ${directory}, belongs to another user, and root does not run it: start the service`);
    return lastGood === null ? { exit } : { config: lastGood.config, problem: error.message, lastGood };
  }
}

async function stateDirectoryOf(file: string, env: ConfigEnvironment): Promise<string> {
  const text = await readText(file).catch(() => '');
  return peek(text, file, env.home).stateDirectory ?? defaultStateDirectory(env);
}

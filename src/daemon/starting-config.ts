import { resolve } from 'node:path';
import type { Config } from '../model/config.ts';
import type { ConfigEnvironment } from '../config/input/environment.ts';
import { defaultStateDirectory } from '../config/input/paths.ts';
import { peek } from '../config/read-leniently.ts';
import { ConfigError } from '../config/input/problem.ts';
import { isForeignLastGood, readLastGood } from './last-good.ts';
import { readText } from '../lib/files/read-file.ts';

export interface FirstConfig {
  readonly config: Config;
  /** Why it is not what the file has, or null. */
  readonly problem: string | null;
  readonly lastGood: Config | null;
}

/** Where the configuration is read, and what is called for a file that is not valid. */
export interface StartingConfigDeps {
  readonly load: () => Promise<Config>;
  /** Null where no earlier configuration may replace it. */
  readonly file: string | null;
  readonly env: ConfigEnvironment;
  /** Another configuration runs instead. */
  onInvalid(error: ConfigError): void;
  onForeignLastGood(directory: string): void;
}

/**
 * The configuration that the daemon starts with: what `load` returns or, where that is not valid, the last configuration of `file` that
 * worked. Throws the ConfigError where there is none.
 */
export async function firstConfig(deps: StartingConfigDeps): Promise<FirstConfig> {
  const { load, file, env, onInvalid, onForeignLastGood } = deps;
  try {
    const config = await load();
    const lastGood = file === null ? null : await readLastGood(config.stateDirectory, config.file, env);
    return { config, problem: null, lastGood };
  } catch (error) {
    if (!(error instanceof ConfigError) || file === null) throw error;
    const directory = await stateDirectoryOf(file, env);
    const lastGood = await readLastGood(directory, resolve(file), env);
    if (isForeignLastGood(directory)) onForeignLastGood(directory);
    if (lastGood === null) throw error;
    onInvalid(error);
    return { config: lastGood, problem: error.message, lastGood };
  }
}

async function stateDirectoryOf(file: string, env: ConfigEnvironment): Promise<string> {
  const text = await readText(file).catch(() => '');
  return peek(text, file, env.home).stateDirectory ?? defaultStateDirectory(env);
}

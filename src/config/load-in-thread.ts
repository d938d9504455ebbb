import { WorkerUnavailable, runInWorker, JobLimitExceeded } from '../lib/async/run-in-worker.ts';
import { adHocConfig } from './command-line/ad-hoc.ts';
import type { Config, ConfigProblem } from '../model/config.ts';
import type { ConfigEnvironment } from './input/environment.ts';
import { loadConfig } from './load.ts';
import { ConfigError } from './input/problem.ts';

/** What a configuration is read from: a file, or the arguments of ssh with a name for their tunnel. */
export type ConfigSource =
  | { readonly file: string }
  | { readonly sshArguments: readonly string[]; readonly name: string };

/** Like loadFrom(), but in a thread, so that the daemon can serve meanwhile; in this thread where none can be started. */
export async function loadInThread(source: ConfigSource, env: ConfigEnvironment): Promise<Config> {
  try {
    // process.env cannot be cloned.
    const found = await runInWorker<JobResult>('load-config', { source, env: { ...env, env: { ...env.env } } }, LIMITS);
    if ('problems' in found) throw new ConfigError(found.problems);
    return found.config;
  } catch (error) {
    if (error instanceof JobLimitExceeded) throw tooMuch(source, error);
    if (!(error instanceof WorkerUnavailable)) throw error;
    return await loadFrom(source, env);
  }
}

/** Loads a configuration, complete and checked. Rejects with a ConfigError with all its problems. */
export async function loadFrom(source: ConfigSource, env: ConfigEnvironment): Promise<Config> {
  return 'file' in source
    ? await loadConfig(source.file, env)
    : await adHocConfig(source.sshArguments, source.name, env);
}

/**
 * Within the limits of size (findExcess, Reading), loading takes a second at most on a PC, and ten on the smallest of computers. These
 * limits end what exceeds that, such as a file system that hangs.
 */
const LIMITS = { ms: 10_000, mib: 200 };

function tooMuch(source: ConfigSource, { what, message }: JobLimitExceeded): ConfigError {
  const limit = what === 'time' ? `${LIMITS.ms / 1000} s` : `${LIMITS.mib} MiB`;
  const file = 'file' in source ? source.file : 'tunneld run';
  const text = `the configuration could not be read within ${limit} (${message}): check its size, and the file system`;
  return new ConfigError([{ file, line: 'file' in source ? 1 : 0, column: 1, message: text }]);
}

type JobResult = { readonly config: Config } | { readonly problems: readonly ConfigProblem[] };

/** The job of src/worker.ts. */
export async function loadConfigJob({
  source,
  env,
}: {
  readonly source: ConfigSource;
  readonly env: ConfigEnvironment;
}): Promise<JobResult> {
  try {
    return { config: await loadFrom(source, env) };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { problems: error.problems };
  }
}

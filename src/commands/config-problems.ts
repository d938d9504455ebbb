import { formatProblem, type ConfigError } from '../config/problem.ts';
import { errorPrefix } from '../host/log-output.ts';
import { EXIT } from './exit.ts';

/** Lists all that is wrong with the configuration, on standard error; the answer is the exit code. */
export function reportProblems(error: ConfigError): number {
  const prefix = errorPrefix(process.stderr, process.env);
  for (const problem of error.problems) process.stderr.write(`${prefix}${formatProblem(problem)}\n`);
  return EXIT.config;
}

import { formatProblem, type ConfigError } from '../../config/input/problem.ts';
import { errorPrefix } from '../../lib/log/output.ts';
import { EXIT } from './exit-code.ts';

/** Lists all that is wrong with the configuration, on standard error; the answer is the exit code: wrong arguments are wrong usage. */
export function reportProblems(error: ConfigError): number {
  const prefix = errorPrefix(process.stderr, process.env);
  for (const problem of error.problems)
    process.stderr.write(`${prefix}${problem.line === 0 ? 'tunneld: ' : ''}${formatProblem(problem)}\n`);
  return error.problems.some(({ line }) => line === 0) ? EXIT.usage : EXIT.config;
}

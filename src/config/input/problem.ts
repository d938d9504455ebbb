import { EXIT } from '../../lib/exit-code.ts';
import { escapeControls } from '../../lib/text.ts';
import { UserError } from '../../lib/user-error.ts';
import type { ConfigProblem } from '../../model/config.ts';

/** A problem in the format of compilers, which editors can follow. */
export function formatProblem(problem: ConfigProblem): string {
  const [file, message] = [escapeControls(problem.file), escapeControls(problem.message)];
  if (problem.line === 0) return `${file}: ${message}`;
  return `${file}:${problem.line}:${problem.column}: ${message}`;
}

/** The configuration is invalid. It has every problem that was found, in the order of the file. */
export class ConfigError extends UserError {
  readonly code = 'CONFIG_INVALID';
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[], options?: ErrorOptions) {
    const exit = problems.some(isOfArguments) ? EXIT.usage : EXIT.config;
    super(problems.map(formatProblem).join('\n'), exit, options);
    this.name = 'ConfigError';
    this.problems = problems;
  }

  override get lines(): readonly string[] {
    return this.problems.map((problem) => `${isOfArguments(problem) ? 'tunneld: ' : ''}${formatProblem(problem)}`);
  }
}

/** A problem of the command line has no line. */
function isOfArguments({ line }: ConfigProblem): boolean {
  return line === 0;
}

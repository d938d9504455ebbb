import type { ConfigProblem } from '../../model/config.ts';
import { escapeControls } from '../../lib/text.ts';

/** A problem as compilers write it, so that editors can jump there. */
export function formatProblem(problem: ConfigProblem): string {
  const [file, message] = [escapeControls(problem.file), escapeControls(problem.message)];
  if (problem.line === 0) return `${file}: ${message}`;
  return `${file}:${problem.line}:${problem.column}: ${message}`;
}

/** The configuration cannot be used. It names every problem that was found, in the order of the file. */
export class ConfigError extends Error {
  readonly code = 'CONFIG_INVALID';
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[], options?: ErrorOptions) {
    super(problems.map(formatProblem).join('\n'), options);
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

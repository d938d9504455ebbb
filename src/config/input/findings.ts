import type { ConfigProblem } from '../../model/config.ts';

/** Collects problems, and hints that are no problems. */
export interface Findings {
  problem(problem: ConfigProblem): void;
  /** Each text once. */
  note(text: string): void;
  /** About what is done as it is written, but may not be intended. Each text once. */
  warn(text: string): void;
}

/** Findings that are kept: the problems in this list. */
export function collectFindings(problems: ConfigProblem[]) {
  const notes = new Set<string>();
  const warnings = new Set<string>();
  const findings: Findings = {
    problem: (problem) => problems.push(problem),
    note: (note) => notes.add(note),
    warn: (warning) => warnings.add(warning),
  };
  return { findings, notes, warnings };
}

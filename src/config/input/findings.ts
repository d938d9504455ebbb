import type { ConfigProblem } from '../../model/config.ts';

/** Collects problems, and hints that are no problems. */
export interface Findings {
  problem(problem: ConfigProblem): void;
  /** Each text once. */
  note(text: string): void;
  /** About what is done as it is written, but may not be intended. Each text once. */
  warn(text: string): void;
}

import type { ConfigProblem } from '../../model/config.ts';

/** Takes down what is wrong, and what is worth saying although it is not. */
export interface Findings {
  problem(problem: ConfigProblem): void;
  /** Each text once. */
  note(text: string): void;
  /** What is done as it is written, and was perhaps not meant so. Each text once. */
  warn(text: string): void;
}

import { escapeControls } from '../../lib/text.ts';
import type { Origin, SshProblem } from './option.ts';

/** Reading stops here: what follows would mean nothing, or there is enough to read already. */
export class Stop extends Error {}

/** What is wrong and what is worth saying, each once, also if the files are read twice. */
export class Report {
  readonly #problems = new Map<string, SshProblem>();
  readonly #unevaluated = new Map<string, string>();
  readonly #notes = new Set<string>();

  problem(origin: Origin, message: string): void {
    const { line, column } = origin;
    const file = escapeControls(origin.file);
    this.#problems.set(`${file}:${line}:${column}:${message}`, { file, line, column, message });
    if (this.#problems.size >= MAX_PROBLEMS) throw new Stop();
  }

  /** A line with a criterion of Match that is not found out. */
  unevaluated(criterion: string, origin: Origin): void {
    this.#unevaluated.set(locationOf(origin), criterion);
  }

  note(origin: Origin, message: string): void {
    this.#notes.add(`${locationOf(origin)}: ${message}`);
  }

  problems(): readonly SshProblem[] {
    return [...this.#problems.values()];
  }

  notes(): readonly string[] {
    return [...this.#notes];
  }

  /** What was not read as ssh would have read it. */
  warnings(): readonly string[] {
    const [first] = this.#unevaluated;
    if (first === undefined) return [];
    const [location, criterion] = first;
    const more = this.#unevaluated.size === 1 ? '' : ` and ${this.#unevaluated.size - 1} more`;
    const done = criterion === 'exec' ? 'run' : 'evaluated';
    return [`Match ${criterion} is never ${done}: ${location}${more} was taken as not matching`];
  }
}

/** What is wrong with more than that is another kind of file. */
const MAX_PROBLEMS = 50;

function locationOf({ file, line }: Origin): string {
  return `${escapeControls(file)}:${line}`;
}

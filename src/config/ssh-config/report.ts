import { escapeControls } from '../../lib/text.ts';
import type { ConfigProblem } from '../../model/config.ts';
import type { Origin } from './option.ts';

/** Ends the reading, because the rest would be meaningless, or because of too many problems. */
export class Stop extends Error {}

/** Collects problems and hints, each once, also where the files are read twice. */
export class Report {
  readonly #problems = new Map<string, ConfigProblem>();
  readonly #unevaluated = new Map<string, string>();
  readonly #notes = new Set<string>();

  problem(origin: Origin, message: string): void {
    const { line, column } = origin;
    const file = escapeControls(origin.file);
    this.#problems.set(`${file}:${line}:${column}:${message}`, { file, line, column, message });
    if (this.#problems.size >= MAX_PROBLEMS) throw new Stop();
  }

  /** Records a line with a criterion of Match that is never evaluated. */
  unevaluated(criterion: string, origin: Origin): void {
    this.#unevaluated.set(locationOf(origin), criterion);
  }

  note(origin: Origin, message: string): void {
    this.#notes.add(`${locationOf(origin)}: ${message}`);
  }

  problems(): readonly ConfigProblem[] {
    return [...this.#problems.values()];
  }

  notes(): readonly string[] {
    return [...this.#notes];
  }

  /** About lines that were not read as ssh would read them. */
  warnings(): readonly string[] {
    const [first] = this.#unevaluated;
    if (first === undefined) return [];
    const [location, criterion] = first;
    const more = this.#unevaluated.size === 1 ? '' : ` and ${this.#unevaluated.size - 1} more`;
    const done = criterion === 'exec' ? 'run' : 'evaluated';
    return [`Match ${criterion} is never ${done}, and is treated as not matching: ${location}${more}`];
  }
}

/** A file of another format may have thousands. */
const MAX_PROBLEMS = 50;

function locationOf({ file, line }: Origin): string {
  return `${escapeControls(file)}:${line}`;
}

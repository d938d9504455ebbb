import { escapeControls } from '../../lib/text.ts';
import type { Findings } from '../input/findings.ts';
import type { Origin } from './option.ts';

/** Ends the reading, because the rest would be meaningless, or because of too many problems. */
export class Stop extends Error {}

/** Reports problems and hints, each once, also where the files are read twice. */
export class Report {
  readonly #findings: Findings;
  readonly #problems = new Set<string>();
  readonly #unevaluated = new Map<string, string>();

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  problem(origin: Origin, message: string): void {
    const { line, column } = origin;
    const file = escapeControls(origin.file);
    const key = `${file}:${line}:${column}:${message}`;
    if (!this.#problems.has(key)) this.#findings.problem({ file, line, column, message });
    this.#problems.add(key);
    if (this.#problems.size >= MAX_PROBLEMS) throw new Stop();
  }

  hasProblems(): boolean {
    return this.#problems.size > 0;
  }

  /** Records a line with a criterion of Match that is never evaluated. */
  unevaluated(criterion: string, origin: Origin): void {
    this.#unevaluated.set(locationOf(origin), criterion);
  }

  note(origin: Origin, message: string): void {
    this.#findings.note(`${locationOf(origin)}: ${message}`);
  }

  /** Warns of lines that were not read as ssh would read them. */
  end(): void {
    const [first] = this.#unevaluated;
    if (first === undefined) return;
    const [location, criterion] = first;
    const more = this.#unevaluated.size === 1 ? '' : ` and ${this.#unevaluated.size - 1} more`;
    const done = criterion === 'exec' ? 'run' : 'evaluated';
    this.#findings.warn(`Match ${criterion} is never ${done}, and is treated as not matching: ${location}${more}`);
  }
}

/** A file of another format may have thousands. */
const MAX_PROBLEMS = 50;

function locationOf({ file, line }: Origin): string {
  return `${escapeControls(file)}:${line}`;
}

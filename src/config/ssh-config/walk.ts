import { escapeControls } from '../../lib/text.ts';
import { BadValue } from '../values/value.ts';
import { BadFile } from './file.ts';
import { isWild } from './glob.ts';
import { includedFiles, SkippedInclude } from './include.ts';
import { type Line, parseLine } from './line.ts';
import { matchesPatterns } from '../values/pattern.ts';
import { matchCriteria } from './match.ts';
import type { Origin } from './option.ts';
import { Stop } from './report.ts';
import { restricts } from './restricting.ts';
import { type Pass, subjectOf, tokensSoFar } from './subject.ts';

/** A file to read. */
export interface Source {
  readonly path: string;
  /** Whether relative Includes refer to the user's home. */
  readonly ofUser: boolean;
  readonly checkOwner: boolean;
  readonly systemFile: string;
}

/** Reads a file and its includes into the pass. Rejects with a BadFile where `source` itself cannot be read. */
export async function walk(source: Source, pass: Pass): Promise<void> {
  await new Walk(pass).file(source, { active: true, parseOnly: false, unknown: null, depth: 0 });
}

/** The state at an Include, which the included file inherits. */
interface Inclusion {
  readonly active: boolean;
  /** The Include is in a block that does not apply: no Host or Match in the file changes that. */
  readonly parseOnly: boolean;
  /** The criterion of Match without which the block would apply, and which is never evaluated; or null. */
  readonly unknown: string | null;
  readonly depth: number;
}

/** The result of the last Host or Match of a file. */
type Block = Pick<Inclusion, 'active' | 'unknown'>;

/** READCONF_MAX_DEPTH of readconf.c. */
const MAX_DEPTH = 16;

/** Bounds files that include each other widely rather than deeply. */
const MAX_FILES = 4096;

const TOO_MUCH = 'too many lines for too many hosts were read up to here: shorten the files, or set `sshConfig: none`';

class Walk {
  readonly #pass: Pass;
  #files = 0;

  constructor(pass: Pass) {
    this.#pass = pass;
  }

  async file(source: Source, inclusion: Inclusion): Promise<void> {
    const { env, effective, report, reading } = this.#pass;
    const file = escapeControls(source.path);
    this.#files += 1;
    let block: Block = inclusion;
    const lines = await reading.lines(source.path, source.checkOwner ? env.uid : null);
    for (const [index, text] of lines.entries()) {
      if (!reading.isWithinLimit(text)) this.#stop({ file, line: index + 1, column: 1 }, TOO_MUCH);
      const line = parseLine(text, effective.value('ignoreunknown') ?? '');
      if (line === null) continue;
      const origin = { file, line: index + 1, column: line.column };
      if ('message' in line) {
        report.problem(origin, line.message);
        continue;
      }
      try {
        const { key } = line.keyword;
        if (key === 'host') block = this.#host(line, inclusion);
        else if (key === 'match') block = this.#match(line, origin, inclusion);
        else if (key === 'include') await this.#include(line, origin, source, { ...inclusion, ...block });
        else if (block.active) effective.add({ key, args: line.args, origin });
        else if (block.unknown !== null) this.#checkSkipped(line, origin, block.unknown);
      } catch (error) {
        if (!(error instanceof BadValue)) throw error;
        report.problem(origin, `${line.keyword.name} ${error.message}`);
      }
    }
  }

  /** Unlike in Match, case matters (readconf.c, oHost). */
  #host({ args }: Line, { parseOnly, unknown }: Inclusion): Block {
    const matches = matchesPatterns(subjectOf(this.#pass).name, args);
    return { active: matches && !parseOnly, unknown: matches ? unknown : null };
  }

  #match(line: Line, origin: Origin, { parseOnly, unknown }: Inclusion): Block {
    const { active, wantsFinal, unevaluated } = matchCriteria(line.args, subjectOf(this.#pass));
    if (wantsFinal) this.#pass.onFinal();
    if (parseOnly) return { active: false, unknown: active ? unknown : null };
    if (unevaluated !== null) this.#pass.report.unevaluated(unevaluated, origin);
    return { active, unknown: unevaluated };
  }

  /** Rejects an option that restricts, where it is unknown whether it applies. */
  #checkSkipped({ keyword, args }: Line, origin: Origin, criterion: string): void {
    if (!restricts(keyword.key, args) || this.#pass.effective.find(keyword.key) !== undefined) return;
    const advice = 'move it out of this block';
    this.#pass.report.problem(
      origin,
      `${keyword.name} restricts, but Match ${criterion} is never evaluated: ${advice}`,
    );
  }

  async #include(line: Line, origin: Origin, source: Source, { active, unknown, depth }: Inclusion): Promise<void> {
    const { env, report, reading } = this.#pass;
    const home = source.ofUser ? env.home : null;
    for (const argument of line.args) {
      const context = { home, systemFile: source.systemFile, env: env.env, tokens: tokensSoFar(this.#pass) };
      try {
        for (const path of await includedFiles(argument, context, reading)) {
          this.#checkLimits(origin, depth);
          await this.#included(
            { ...source, path, checkOwner: true },
            { active, parseOnly: !active, unknown, depth: depth + 1 },
            argument,
          );
        }
      } catch (error) {
        if (!(error instanceof SkippedInclude)) throw error;
        report.note(origin, `Include ${error.message}; it was skipped`);
      }
    }
  }

  #checkLimits(origin: Origin, depth: number): void {
    if (depth < MAX_DEPTH && this.#files < MAX_FILES) return;
    const what = depth < MAX_DEPTH ? `more than ${MAX_FILES} files` : `files more than ${MAX_DEPTH} deep`;
    this.#stop(origin, `Include leads to ${what}: check whether a file includes itself`);
  }

  #stop(origin: Origin, message: string): never {
    this.#pass.report.problem(origin, message);
    throw new Stop();
  }

  async #included(source: Source, inclusion: Inclusion, argument: string): Promise<void> {
    try {
      await this.file(source, inclusion);
    } catch (error) {
      if (!(error instanceof BadFile)) throw error;
      // Patterns match directories too, which are ignored.
      if (error.code === 'EISDIR' && isWild(argument)) return;
      this.#pass.report.problem({ file: source.path, line: error.line, column: 1 }, error.message);
    }
  }
}

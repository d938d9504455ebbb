import { escapeControls } from '../../lib/text.ts';
import { BadValue } from '../value.ts';
import { BadFile, readLines } from './file.ts';
import { isWild } from './glob.ts';
import { includedFiles, SkippedInclude } from './include.ts';
import { type Line, parseLine } from './line.ts';
import { matchCriteria, matchHost } from './match.ts';
import type { Origin } from './option.ts';
import { Stop } from './report.ts';
import { type Pass, subjectOf, tokensSoFar } from './subject.ts';

/** A file to be read, and how. */
export interface Source {
  readonly path: string;
  /** Whether the user's home is the place of its relative Includes. */
  readonly ofUser: boolean;
  readonly checkOwner: boolean;
  readonly systemFile: string;
}

/** Reads a file and what it includes into the pass. Throws a BadFile if there is nothing to be read from `source` itself. */
export async function walk(source: Source, pass: Pass): Promise<void> {
  await new Walk(pass).file(source, { active: true, parseOnly: false, depth: 0 });
}

/** What an included file takes over from the place of its Include. */
interface Situation {
  readonly active: boolean;
  /** An Include where nothing applies: no Host and no Match in it may change that. */
  readonly parseOnly: boolean;
  readonly depth: number;
}

/** READCONF_MAX_DEPTH of readconf.c. */
const MAX_DEPTH = 16;

/** Files that include each other widely, not deeply, would be read for ever. */
const MAX_FILES = 4096;

class Walk {
  readonly #pass: Pass;
  #files = 0;

  constructor(pass: Pass) {
    this.#pass = pass;
  }

  async file(source: Source, situation: Situation): Promise<void> {
    const { env, effective, report } = this.#pass;
    const file = escapeControls(source.path);
    this.#files += 1;
    let { active } = situation;
    for (const [index, text] of (await readLines(source.path, source.checkOwner ? env.uid : null)).entries()) {
      const line = parseLine(text, effective.value('ignoreunknown') ?? '');
      if (line === null) continue;
      const origin = { file, line: index + 1, column: line.column };
      if ('message' in line) {
        report.problem(origin, line.message);
        continue;
      }
      try {
        const { key } = line.keyword;
        if (key === 'host') active = matchHost(line.args, subjectOf(this.#pass).name) && !situation.parseOnly;
        else if (key === 'match') active = this.#match(line, origin, situation);
        else if (key === 'include') await this.#include(line, origin, source, { ...situation, active });
        else if (active) effective.add({ key, args: line.args, origin });
      } catch (error) {
        if (!(error instanceof BadValue)) throw error;
        report.problem(origin, `${line.keyword.name} ${error.message}`);
      }
    }
  }

  #match(line: Line, origin: Origin, { parseOnly }: Situation): boolean {
    const { active, wantsFinal, unevaluated } = matchCriteria(line.args, subjectOf(this.#pass));
    if (wantsFinal) this.#pass.onFinal();
    if (unevaluated !== null && !parseOnly) this.#pass.report.unevaluated(unevaluated, origin);
    return active && !parseOnly;
  }

  async #include(line: Line, origin: Origin, source: Source, { active, depth }: Situation): Promise<void> {
    const { env, report } = this.#pass;
    const home = source.ofUser ? env.home : null;
    for (const argument of line.args) {
      const place = { home, systemFile: source.systemFile, env: env.env, tokens: tokensSoFar(this.#pass) };
      try {
        for (const path of await includedFiles(argument, place)) {
          this.#checkLimits(origin, depth);
          await this.#included(
            { ...source, path, checkOwner: true },
            { active, parseOnly: !active, depth: depth + 1 },
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
    this.#pass.report.problem(origin, `Include leads to ${what}: a file may include itself`);
    throw new Stop();
  }

  async #included(source: Source, situation: Situation, argument: string): Promise<void> {
    try {
      await this.file(source, situation);
    } catch (error) {
      if (!(error instanceof BadFile)) throw error;
      // Patterns find directories too, and nobody means them.
      if (error.code === 'EISDIR' && isWild(argument)) return;
      this.#pass.report.problem({ file: source.path, line: error.line, column: 1 }, error.message);
    }
  }
}

import { BadValue } from '../values/value.ts';
import { BadFile, readLines } from './file.ts';
import { expandGlob } from './glob.ts';

/**
 * The files of ssh_config that one configuration reads: each once for all hosts, and altogether no more than can be read in about a
 * second.
 */
export class Reading {
  readonly #lines = new Map<string, Promise<readonly string[]>>();
  readonly #paths = new Map<string, Promise<readonly string[]>>();
  #characters = 0;
  #entries = 0;
  #work = 0;

  /** As readLines(). */
  async lines(path: string, owner: number | null): Promise<readonly string[]> {
    return await remembered(this.#lines, `${owner} ${path}`, async () => {
      const lines = await readLines(path, owner);
      this.#characters += lines.reduce((sum, line) => sum + line.length, 0);
      if (this.#characters > MAX_CHARACTERS)
        throw new BadFile('ssh_config exceeds 4 MiB with this file: check whether it is a configuration', 'TOO_LARGE');
      return lines;
    });
  }

  /** As expandGlob(). */
  async paths(pattern: string): Promise<readonly string[]> {
    return await remembered(this.#paths, pattern, () =>
      expandGlob(pattern, () => {
        this.#entries += 1;
        if (this.#entries > MAX_ENTRIES)
          throw new BadValue(`would search more than ${MAX_ENTRIES} files and folders: use a narrower pattern`);
      }),
    );
  }

  /** To call for each line and host; false where the limit is exceeded. */
  isWithinLimit(line: string): boolean {
    this.#work += LINE_COST + line.length;
    return this.#work <= MAX_WORK;
  }
}

const MAX_CHARACTERS = 4 * 1024 * 1024;
const MAX_ENTRIES = 10_000;

/** In characters: a thousand hosts and six hundred lines, about a second on a PC. */
const MAX_WORK = 50_000_000;
/** The fixed cost of a line, in characters. */
const LINE_COST = 50;

function remembered<T>(known: Map<string, Promise<T>>, key: string, find: () => Promise<T>): Promise<T> {
  const found = known.get(key) ?? find();
  known.set(key, found);
  return found;
}

import { lstat, opendir } from 'node:fs/promises';
import { join } from 'node:path';
import { matchesUnits } from '../../lib/glob.ts';
import { succeeds } from '../../lib/async/succeeds.ts';

/**
 * The paths that glob(3) finds for an absolute path with `*`, `?`, `[...]` and backslashes, sorted by their bytes (ssh sets no
 * locale). A name that begins with a dot needs a dot in the pattern. Directories that cannot be listed are empty. `look` is called for
 * each name that is examined, and may throw.
 */
export async function expandGlob(pattern: string, look: () => void): Promise<string[]> {
  let found = ['/'];
  let names = '';
  for (const segment of pattern.split('/').filter((part) => part !== '')) {
    if (!isWild(segment)) {
      names = join(names, segment.replaceAll(/\\(.)/gs, '$1'));
      continue;
    }
    const folders = found.map((path) => join(path, names));
    // One after the other, so that `look` can stop before the next.
    found = [];
    for (const folder of folders) found.push(...(await namesIn(folder, segment, look)));
    names = '';
  }
  const existing: string[] = [];
  for (const path of found.map((folder) => join(folder, names))) {
    look();
    if (await succeeds(lstat(path))) existing.push(path);
  }
  return existing.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}

/** Whether a path has anything to expand. */
export function isWild(path: string): boolean {
  return /^(?:[^\\*?[]|\\.|\[(?!.*\]))*(?:[*?]|\[(?=.*\]))/s.test(path);
}

async function namesIn(folder: string, segment: string, look: () => void): Promise<string[]> {
  const units = unitsOf(segment);
  const found: string[] = [];
  const directory = await opendir(folder).catch(() => []);
  for await (const { name } of directory) {
    look();
    if (name.startsWith('.') && !/^\\?\./.test(segment)) continue;
    if (matchesUnits([...name], units, (fits, char) => fits(char))) found.push(join(folder, name));
  }
  return found;
}

/** `*`, or a test of one character. */
type Unit = '*' | ((char: string) => boolean);

function unitsOf(segment: string): Unit[] {
  return Array.from(segment.matchAll(/(\*)|(\?)|\[([!^]?)((?:\\.|[^\\])(?:\\.|[^\\\]])*)\]|\\?(.)/gsu), toUnit);
}

function toUnit([, star, any, not, set, char]: RegExpMatchArray): Unit {
  if (star !== undefined) return '*';
  if (any !== undefined) return () => true;
  if (set === undefined) return (other) => other === char;
  const ranges = Array.from(set.matchAll(/\\?(.)(?:-\\?(.))?/gsu), ([, from = '', to = from]) => ({ from, to }));
  return (other) => ranges.some(({ from, to }) => from <= other && other <= to) === (not === '');
}

import { ALGORITHMS, defaultAlgorithms, type AlgorithmKey } from './algorithms.ts';
import { matchesGlob } from '../../lib/glob.ts';
import { BadValue, isEmpty, readText, show } from './value.ts';

/**
 * The algorithms that a list names, in order of preference (ssh_config(5), Ciphers): the list itself, or with a leading
 * `+` the defaults and then the list, with `-` the defaults without what the list's patterns match, with `^` the list
 * and then the other defaults. A YAML list is the same as a text with commas. `aes`: whether the processor has instructions for AES.
 */
export function readAlgorithms(key: AlgorithmKey, aes: boolean): (raw: unknown) => string[] {
  return (raw) => {
    const { modifier, names: written } = splitList(readList(raw));
    if (written.some(isEmpty)) throw new BadValue('has an empty name: remove a comma');
    const defaults = defaultAlgorithms(key, aes);
    if (modifier === '-') return without(defaults, written);
    const names = ALGORITHMS[key].patterns === true ? written.flatMap((name) => expanded(key, name)) : written;
    for (const name of names) checkName(key, name);
    if (modifier === '+') return unique([...defaults, ...names]);
    if (modifier === '^') return unique([...names, ...defaults]);
    return unique(names);
  };
}

/** A text with commas, which a list of YAML is as well. */
export function readList(raw: unknown): string {
  return readText(Array.isArray(raw) ? raw.map(readText).join(',') : raw);
}

/** The names of a list, and what comes before it: `+`, `-`, `^` or nothing. */
export function splitList(text: string): { readonly modifier: string; readonly names: readonly string[] } {
  const [, modifier = '', rest = ''] = /^([+^-]?)(.*)$/.exec(text.trim()) ?? [];
  return { modifier, names: rest.split(',').map((name) => name.trim()) };
}

/** A pattern without a match is no problem, as in ssh: another version may have such a name. */
function without(defaults: readonly string[], patterns: readonly string[]): string[] {
  const bad = patterns.find((pattern) => !/^[\w@.*?-]+$/.test(pattern));
  if (bad !== undefined) throw new BadValue(`has the invalid pattern ${show(bad)}: patterns are names with * and ?`);
  const left = defaults.filter((name) => !patterns.some((pattern) => matchesGlob(name, pattern)));
  if (left.length === 0) throw new BadValue('removes every algorithm: leave at least one');
  return left;
}

/** The known names that a pattern matches, or the name itself. */
function expanded(key: AlgorithmKey, name: string): readonly string[] {
  const { defaults, others } = ALGORITHMS[key];
  const matching = /[*?]/.test(name) ? [...defaults, ...others].filter((each) => matchesGlob(each, name)) : [];
  return matching.length === 0 ? [name] : matching;
}

function checkName(key: AlgorithmKey, name: string): void {
  const { noun, defaults, others } = ALGORITHMS[key];
  if (defaults.includes(name) || others.includes(name)) return;
  throw new BadValue(`has the unknown ${noun} ${show(name)}; known are ${[...defaults, ...others].join(', ')}`);
}

function unique(names: readonly string[]): string[] {
  return [...new Set(names)];
}

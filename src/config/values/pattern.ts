import { matchesGlob } from '../../lib/glob.ts';
import { lowerCase } from '../../lib/text.ts';

/** One of the patterns has to match, and none with ! may (match.c). */
export function matchesPatterns(text: string, patterns: readonly string[]): boolean {
  const matching = patterns.filter((pattern) => matchesGlob(text, pattern.replace(/^!/, '')));
  return matching.length > 0 && !matching.some((pattern) => pattern.startsWith('!'));
}

/** The same for a list with commas. */
export function matchesPatternList(text: string, list: string): boolean {
  return matchesPatterns(text, list.split(','));
}

/** The same for host names, which ignores case. */
export function matchesHostList(host: string, list: string): boolean {
  return matchesPatternList(lowerCase(host), lowerCase(list));
}

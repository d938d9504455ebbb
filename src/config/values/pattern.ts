import { matchesGlob } from '../../lib/glob.ts';
import { lowerCase } from '../../lib/text.ts';

/** A list of patterns with commas: one has to match, and none with ! may (match.c). */
export function matchesPatternList(text: string, list: string): boolean {
  let found = false;
  for (const pattern of list.split(',')) {
    const negated = pattern.startsWith('!');
    if (!matchesGlob(text, negated ? pattern.slice(1) : pattern)) continue;
    if (negated) return false;
    found = true;
  }
  return found;
}

/** The same for host names, which ignores case. */
export function matchesHostList(host: string, list: string): boolean {
  return matchesPatternList(lowerCase(host), lowerCase(list));
}

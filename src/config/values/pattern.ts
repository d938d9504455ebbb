import { lowerCase } from '../../lib/text.ts';

/** One part of a pattern: any text, or a test for one character. */
export type Unit = '*' | ((char: string) => boolean);

/** ssh_config(5), PATTERNS: `*` is any text, `?` one character. */
export function matchesPattern(text: string, pattern: string): boolean {
  return matchesUnits(
    text,
    Array.from(pattern, (char): Unit => {
      if (char === '*') return '*';
      return char === '?' ? () => true : (other) => other === char;
    }),
  );
}

/** A list of patterns with commas: one has to match, and none with ! may (match.c). */
export function matchesPatternList(text: string, list: string): boolean {
  let found = false;
  for (const pattern of list.split(',')) {
    const negated = pattern.startsWith('!');
    if (!matchesPattern(text, negated ? pattern.slice(1) : pattern)) continue;
    if (negated) return false;
    found = true;
  }
  return found;
}

/** The same for host names, which ignores case. */
export function matchesHostList(host: string, list: string): boolean {
  return matchesPatternList(lowerCase(host), lowerCase(list));
}

/** Goes back only to the last `*`, which is enough, so that no pattern takes more than length times length steps. */
export function matchesUnits(text: string, units: readonly Unit[]): boolean {
  const chars = [...text];
  let at = 0;
  let unit = 0;
  let retry: { at: number; unit: number } | null = null;
  while (at < chars.length) {
    const wanted = units[unit];
    if (wanted === '*') {
      unit += 1;
      retry = { at, unit };
    } else if (wanted?.(chars[at] ?? '') === true) {
      at += 1;
      unit += 1;
    } else if (retry === null) return false;
    else {
      retry = { at: retry.at + 1, unit: retry.unit };
      ({ at, unit } = retry);
    }
  }
  return units.slice(unit).every((wanted) => wanted === '*');
}

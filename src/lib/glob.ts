/** ssh_config(5), PATTERNS: `*` is any text, `?` one character. */
export function matchesGlob(text: string, glob: string): boolean {
  return matchesUnits(text, glob, (unit, char) => unit === '?' || unit === char);
}

/**
 * Whether these units match the whole text, one character each, but for `*`, which is any text. Goes back only to the last `*`, which is
 * enough, so that no pattern takes more than length times length steps.
 */
export function matchesUnits<Unit>(
  text: ArrayLike<string>,
  units: ArrayLike<Unit | '*'>,
  matches: (unit: Unit, char: string) => boolean,
): boolean {
  let at = 0;
  let unit = 0;
  let retry: { at: number; unit: number } | null = null;
  while (at < text.length) {
    const wanted = units[unit];
    if (wanted === '*') {
      unit += 1;
      retry = { at, unit };
    } else if (wanted !== undefined && matches(wanted, text[at]!)) {
      at += 1;
      unit += 1;
    } else if (retry === null) return false;
    else {
      retry = { at: retry.at + 1, unit: retry.unit };
      ({ at, unit } = retry);
    }
  }
  while (units[unit] === '*') unit += 1;
  return unit === units.length;
}

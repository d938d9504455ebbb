/** The settings of a unit as systemd reads them: the values of each `Section.Key` in order; an empty value resets the list. */
export function readUnit(text: string): ReadonlyMap<string, readonly string[]> {
  const settings = new Map<string, string[]>();
  let section = '';
  for (const line of logicalLines(text)) {
    const head = /^\[(.*)\]$/.exec(line);
    if (head !== null) section = head[1]!;
    const [, key, value = ''] = /^([^=\s]+)\s*=\s*(.*)$/.exec(line) ?? [];
    if (head !== null || key === undefined) continue;
    const name = `${section}.${key}`;
    const before = settings.get(name);
    if (value === '' || before === undefined) settings.set(name, value === '' ? [] : [value]);
    else before.push(value);
  }
  return settings;
}

/** Lines, with continued ones joined by a blank; a comment between them is left out. */
function logicalLines(text: string): readonly string[] {
  const lines: string[] = [];
  let pending: string | null = null;
  for (const raw of text.split('\n')) {
    const line = raw.trimStart();
    if (/^[#;]/.test(line)) continue;
    const whole: string = (pending ?? '') + line;
    // Neither an escaped backslash nor one before blanks continues the line.
    const goesOn = (/\\*$/.exec(line)?.[0].length ?? 0) % 2 === 1;
    pending = goesOn ? `${whole.slice(0, -1)} ` : null;
    if (!goesOn) lines.push(whole.trimEnd());
  }
  return pending === null ? lines : [...lines, pending.trimEnd()];
}

/** The words of a value, unquoted and with C escapes resolved; null where systemd would reject it. */
// oxlint-disable-next-line complexity -- a scanner: one branch for each kind of character, in the order in which systemd looks at them
export function splitWords(value: string): readonly string[] | null {
  const words: string[] = [];
  let word: string | null = null;
  let quote = '';
  for (let at = 0; at < value.length; at += 1) {
    const char = value[at]!;
    if (char === '\\' && quote !== "'") {
      const found = unescape(value.slice(at + 1));
      if (found === null) return null;
      word = (word ?? '') + found.text;
      at += found.length;
    } else if (quote !== '') {
      if (char === quote) quote = '';
      else word += char;
    } else if (char === '"' || char === "'") {
      quote = char;
      word ??= '';
    } else if (/\s/.test(char)) {
      if (word !== null) words.push(word);
      word = null;
    } else word = (word ?? '') + char;
  }
  if (quote !== '') return null;
  return word === null ? words : [...words, word];
}

/** The escapes of systemd.syntax(7). */
function unescape(rest: string): { readonly text: string; readonly length: number } | null {
  const [all, hex, octal, unicode, long] =
    /^(?:x([0-9a-fA-F]{2})|([0-3][0-7]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))/.exec(rest) ?? [];
  const digits = hex ?? unicode ?? long;
  const code = digits === undefined ? parseInt(octal ?? '', 8) : parseInt(digits, 16);
  // A byte beyond ASCII may be part of a character.
  if (all !== undefined && code > 0 && code < (hex === undefined && octal === undefined ? 0x110000 : 0x80))
    return { text: String.fromCodePoint(code), length: all.length };
  const text = all === undefined ? ESCAPES[rest[0] ?? ''] : undefined;
  return text === undefined ? null : { text, length: 1 };
}

const ESCAPES: Readonly<Record<string, string>> = {
  a: '\u0007',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  s: ' ',
  '\\': '\\',
  '"': '"',
  "'": "'",
};

/** The assignments among words; the last of each name counts. */
export function assignments(words: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    words.flatMap((word) => {
      const [, name, value = ''] = /^([A-Za-z_]\w*)=(.*)$/s.exec(word) ?? [];
      return name === undefined ? [] : [[name, value]];
    }),
  );
}

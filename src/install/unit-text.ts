/** Settings of a unit as systemd reads them: the values of each `Section.Key` in their order, an empty one forgetting those before. */
export function readUnit(text: string): ReadonlyMap<string, readonly string[]> {
  const settings = new Map<string, string[]>();
  let section = '';
  let pending = '';
  for (const raw of text.split('\n')) {
    const line = raw.trim();
    // A comment within a continued line is left out of it.
    if (/^[#;]/.test(line)) continue;
    if (line.endsWith('\\')) {
      pending += `${line.slice(0, -1)} `;
      continue;
    }
    const whole = pending + line;
    pending = '';
    const head = /^\[(.*)\]$/.exec(whole);
    if (head !== null) section = head[1]!;
    const [, key, value = ''] = /^([^=\s]+)\s*=\s*(.*)$/.exec(whole) ?? [];
    if (head !== null || key === undefined) continue;
    const name = `${section}.${key}`;
    settings.set(name, value === '' ? [] : [...(settings.get(name) ?? []), value]);
  }
  return settings;
}

/** The words of a value, with their quotes taken off and C escapes resolved; null where a quote is not closed. */
export function splitWords(value: string): readonly string[] | null {
  const words: string[] = [];
  let word: string | null = null;
  let quote = '';
  for (let at = 0; at < value.length; at += 1) {
    const char = value[at]!;
    if (char === '\\' && quote !== "'") {
      const { text, length } = unescape(value.slice(at + 1));
      word = (word ?? '') + text;
      at += length;
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

function unescape(rest: string): { readonly text: string; readonly length: number } {
  const hex = /^x([0-9a-fA-F]{2})/.exec(rest);
  if (hex !== null) return { text: String.fromCharCode(parseInt(hex[1]!, 16)), length: 3 };
  const [char = ''] = rest;
  return { text: ESCAPES[char] ?? char, length: char.length };
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', s: ' ' };

/** Environment= and the files of EnvironmentFile=: assignments, where the last counts. */
export function assignments(words: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    words.flatMap((word) => {
      const [, name, value = ''] = /^([A-Za-z_]\w*)=(.*)$/s.exec(word) ?? [];
      return name === undefined ? [] : [[name, value]];
    }),
  );
}

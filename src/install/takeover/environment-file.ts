/**
 * The assignments of a file of EnvironmentFile=, as systemd reads it (systemd.exec(5)): comments, quotes, and values that go on in the
 * next line. The text says why it cannot be known what systemd makes of it.
 */
export function readEnvironmentFile(text: string): Readonly<Record<string, string>> | string {
  if (text.includes('\0')) return 'it is no text';
  const found: Record<string, string> = {};
  let rest = text;
  for (;;) {
    rest = rest.replace(/^\s+/, '');
    if (rest === '') return found;
    const [line = ''] = rest.split(/[\n\r]/, 1);
    if (/^[#;]/.test(line)) {
      // Until version 253 the next line belonged to the comment, since then it does not.
      if (/(?<!\\)(?:\\\\)*\\$/.test(line) && line.length < rest.length)
        return `a comment ends with a backslash, which systemd reads in two ways: ${line}`;
      rest = rest.slice(line.length);
      continue;
    }
    const equals = line.indexOf('=');
    if (equals === -1) {
      rest = rest.slice(line.length);
      continue;
    }
    const { value, length } = readValue(rest.slice(equals + 1));
    const name = line.slice(0, equals).trimEnd();
    // systemd passes others on to nobody.
    if (/^[A-Za-z_]\w*$/.test(name)) found[name] = value;
    rest = rest.slice(equals + 1 + length);
  }
}

/** The value at the beginning of a text, up to the end of the line that ends it, and how much of the text that is. */
function readValue(text: string): { readonly value: string; readonly length: number } {
  let value = '';
  let at = 0;
  // Quoted parts come first, and follow one another with or without blanks between them, which do not count.
  for (;;) {
    const [all, single, double] = QUOTED.exec(text.slice(at)) ?? [];
    if (all === undefined) break;
    at += all.length;
    value += single ?? unescapeDouble(double ?? '');
  }
  const plain = readPlainValue(text.slice(at));
  return { value: value + plain.value, length: at + plain.length };
}

/** One without an end goes on to the end of the file. */
const QUOTED = /^[ \t]*(?:'([^']*)(?:'|$)|"((?:[^"\\]|\\[^])*)(?:"|\\?$))/;

function unescapeDouble(text: string): string {
  return text.replaceAll(/\\(["\\`$])|\\\n/g, (_, char: string | undefined) => char ?? '');
}

/** In it quotes mean nothing, and a backslash takes the next character as it is; before a line's end it takes that away. */
function readPlainValue(text: string): { readonly value: string; readonly length: number } {
  const [all = '', content = ''] = /^[ \t]*((?:\\[^]|[^\\\n\r])*\\?)/.exec(text) ?? [];
  const bare = content.replace(/(?<![ \t])[ \t]+$/, '');
  // A blank behind a backslash is meant.
  const isEscaped = (/\\*$/.exec(bare)?.[0].length ?? 0) % 2 === 1;
  const trimmed = isEscaped ? content.slice(0, bare.length + 1) : bare;
  return {
    value: trimmed.replaceAll(/\\([^]?)/g, (_, char: string) => (/[\n\r]/.test(char) ? '' : char)),
    length: all.length,
  };
}

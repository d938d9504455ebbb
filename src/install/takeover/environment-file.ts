/**
 * The assignments of an EnvironmentFile= as systemd reads it (systemd.exec(5)): comments, quotes, and values that continue in the
 * next line. Returns a text where the meaning depends on the version of systemd.
 */
export function readEnvironmentFile(text: string): Readonly<Record<string, string>> | string {
  if (text.includes('\0')) return 'it is not a text file';
  const found: Record<string, string> = {};
  let rest = text;
  for (;;) {
    rest = rest.replace(/^\s+/, '');
    if (rest === '') return found;
    const [line = ''] = rest.split(/[\n\r]/, 1);
    if (/^[#;]/.test(line)) {
      // Until version 253 the next line belonged to the comment.
      if (/(?<!\\)(?:\\\\)*\\$/.test(line) && line.length < rest.length)
        return `a comment ends with a backslash, whose meaning depends on the version of systemd: ${line}`;
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
    // systemd ignores other names.
    if (/^[A-Za-z_]\w*$/.test(name)) found[name] = value;
    rest = rest.slice(equals + 1 + length);
  }
}

/** The value at the beginning of a text, and the length of the text that it takes. */
function readValue(text: string): { readonly value: string; readonly length: number } {
  let value = '';
  let at = 0;
  // Quoted parts come first; blanks between them do not count.
  for (;;) {
    const [all, single, double] = QUOTED.exec(text.slice(at)) ?? [];
    if (all === undefined) break;
    at += all.length;
    value += single ?? unescapeDouble(double ?? '');
  }
  const plain = readPlainValue(text.slice(at));
  return { value: value + plain.value, length: at + plain.length };
}

/** A quote that is not closed extends to the end of the file. */
const QUOTED = /^[ \t]*(?:'([^']*)(?:'|$)|"((?:[^"\\]|\\[^])*)(?:"|\\?$))/;

function unescapeDouble(text: string): string {
  return text.replaceAll(/\\(["\\`$])|\\\n/g, (_, char: string | undefined) => char ?? '');
}

/** An unquoted value: quotes are literal, and a backslash makes the next character literal, or removes a line break. */
function readPlainValue(text: string): { readonly value: string; readonly length: number } {
  const [all = '', content = ''] = /^[ \t]*((?:\\[^]|[^\\\n\r])*\\?)/.exec(text) ?? [];
  const bare = content.replace(/(?<![ \t])[ \t]+$/, '');
  // An escaped blank at the end belongs to the value.
  const isEscaped = (/\\*$/.exec(bare)?.[0].length ?? 0) % 2 === 1;
  const trimmed = isEscaped ? content.slice(0, bare.length + 1) : bare;
  return {
    value: trimmed.replaceAll(/\\([^]?)/g, (_, char: string) => (/[\n\r]/.test(char) ? '' : char)),
    length: all.length,
  };
}

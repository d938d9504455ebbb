/**
 * The assignments of an EnvironmentFile= as systemd reads it (systemd.exec(5)): comments, quotes, and values that continue in the
 * next line. Returns a text where the meaning depends on the version of systemd.
 */
export function readEnvironmentFile(text: string): Readonly<Record<string, string>> | string {
  if (text.includes('\0')) return 'it is not a text file';
  const found: Record<string, string> = {};
  for (const entry of text.matchAll(ENTRY)) {
    const { comment = '', name = '', quoted = '', plain = '' } = entry.groups!;
    // Until version 253 the next line belonged to the comment.
    if (/(?<!\\)(?:\\\\)*\\$/.test(comment) && entry.index + entry[0].length < text.length)
      return `a comment ends with a backslash, whose meaning depends on the version of systemd: ${comment}`;
    // systemd ignores other names.
    if (/^[A-Za-z_]\w*\s*$/.test(name)) found[name.trimEnd()] = unquoted(quoted) + unescaped(plain);
  }
  return found;
}

/** Of a value, quoted parts come first; blanks between them do not count. A quote that is not closed extends to the end of the file. */
const QUOTED = /[ \t]*(?:'([^']*)(?:'|$)|"((?:[^"\\]|\\[^])*)(?:"|\\?$))/;

const PLAIN = /(?:\\[^]|[^\\\n\r])*\\?/;
const ASSIGNMENT = `(?<name>[^=\\n\\r]*)=(?<quoted>(?:${QUOTED.source})*)[ \\t]*(?<plain>${PLAIN.source})`;

/** A comment, an assignment, or a line that is neither. */
const ENTRY = new RegExp(`\\s*(?:(?<comment>[#;][^\\n\\r]*)|${ASSIGNMENT}|[^\\n\\r]+)`, 'gy');

function unquoted(text: string): string {
  const parts = [...text.matchAll(new RegExp(QUOTED, 'g'))];
  return parts.map(([, single, double = '']) => single ?? double.replaceAll(/\\(["\\`$])|\\\n/g, '$1')).join('');
}

/** Quotes are literal, and a backslash makes the next character literal, or removes a line break. */
function unescaped(text: string): string {
  const bare = text.replace(/(?<![ \t])[ \t]+$/, '');
  // An escaped blank at the end belongs to the value.
  const isEscaped = (/\\*$/.exec(bare)?.[0].length ?? 0) % 2 === 1;
  const trimmed = isEscaped ? text.slice(0, bare.length + 1) : bare;
  return trimmed.replaceAll(/\\([^]?)/g, (_, char: string) => (/[\n\r]/.test(char) ? '' : char));
}

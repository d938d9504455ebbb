/** A line of ssh_config before its keyword is known. */
export interface SplitLine {
  readonly keyword: string;
  /** The column of the keyword, from 1. */
  readonly column: number;
  /** The text after the keyword and its whitespace or `=`. */
  readonly rest: string;
}

/** Splits a line into keyword and rest as readconf.c does; null for an empty line and a comment. */
export function splitLine(text: string): SplitLine | null {
  const line = withoutTrailingSpace(text);
  let first = nextWord(line);
  if (first?.word === '') first = first.rest === null ? null : nextWord(first.rest);
  if (first === null || first.word === '' || first.word.startsWith('#')) return null;
  const column = line.search(/[^ \t\r\n]/) + 1;
  return { keyword: first.word, column, rest: (first.rest ?? '').replace(/^[ \t\r\n]+/, '') };
}

/**
 * The arguments of a line (argv_split of misc.c): separated by spaces and tabs, with either kind of quotes, up to a word that begins
 * with #. A backslash escapes a quote, a backslash and, outside of quotes, a space. Null for an unclosed quote.
 */
export function splitArguments(text: string): string[] | null {
  const args: string[] = [];
  for (let at = 0; at < text.length; at += 1) {
    if (isSpace(text[at])) continue;
    if (text[at] === '#') break;
    const argument = readArgument(text, at);
    if (argument === null) return null;
    args.push(argument.value);
    at = argument.end;
  }
  return args;
}

function readArgument(text: string, start: number): { value: string; end: number } | null {
  let value = '';
  let quote: string | null = null;
  let at = start;
  for (; at < text.length; at += 1) {
    const char = text[at] ?? '';
    if (char === '\\' && isEscapable(text[at + 1], quote !== null)) {
      at += 1;
      value += text[at] ?? '';
    } else if (quote === null && isSpace(char)) break;
    else if (quote === null && (char === '"' || char === "'")) quote = char;
    else if (char === quote) quote = null;
    else value += char;
  }
  return quote === null ? { value, end: at } : null;
}

function isSpace(char: string | undefined): boolean {
  return char === ' ' || char === '\t';
}

function isEscapable(char: string | undefined, quoted: boolean): boolean {
  return char === '"' || char === "'" || char === '\\' || (char === ' ' && !quoted);
}

/**
 * strdelim of misc.c: a word ends at whitespace, at one `=` with whitespace around it, or at the end of a quoted part. Null for an
 * unclosed quote; `rest` is null where nothing follows.
 */
function nextWord(text: string): { word: string; rest: string | null } | null {
  const at = text.search(/[ \t\r\n"=]/);
  if (at === -1) return { word: text, rest: null };
  if (text[at] === '"') {
    const end = text.indexOf('"', at + 1);
    return end === -1 ? null : { word: text.slice(0, at) + text.slice(at + 1, end), rest: text.slice(end + 1) };
  }
  const rest = text.slice(at + 1).replace(/^[ \t\r\n]+/, '');
  const hasEquals = text[at] !== '=' && rest.startsWith('=');
  return { word: text.slice(0, at), rest: hasEquals ? rest.slice(1).replace(/^[ \t\r\n]+/, '') : rest };
}

/** Strips all but the first character, form feeds too. A loop, because a pattern would be slow on long lines. */
function withoutTrailingSpace(line: string): string {
  let end = line.length;
  while (end > 1 && ' \t\r\n\f'.includes(line[end - 1] ?? 'x')) end -= 1;
  return line.slice(0, end);
}

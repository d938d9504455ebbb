import { Lexer } from 'yaml';

/** More than anybody writes, and no more than the parser reads in about a second. */
const MAX_TOKENS = 200_000;
/** Brackets in brackets. */
const MAX_DEPTH = 100;
export const MAX_ALIASES = 100;

export const TOO_MANY_ALIASES = `more than ${MAX_ALIASES} values come from aliases (*name): write them out`;

/** A place in a text, counted from 1, and why nothing is read after it. */
export interface Excess {
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

/**
 * Where a YAML text becomes more than is read, null where it does not. A mebibyte of it can keep the parser busy for minutes and fill
 * a gibibyte; its lexer, which goes through the text once and can be stopped, cannot.
 */
export function findExcess(text: string): Excess | null {
  let offset = 0;
  let tokens = 0;
  let aliases = 0;
  let depth = 0;
  for (const token of new Lexer().lex(text)) {
    tokens += 1;
    if (token.startsWith('*')) aliases += 1;
    if (token === '[' || token === '{') depth += 1;
    else if (token === ']' || token === '}') depth -= 1;
    if (depth > MAX_DEPTH) return excessAt(text, offset, TOO_DEEP);
    if (aliases > MAX_ALIASES) return excessAt(text, offset, TOO_MANY_ALIASES);
    if (tokens > MAX_TOKENS) return excessAt(text, offset, TOO_MUCH);
    if (!MARKS.has(token)) offset += token.length;
  }
  return null;
}

const TOO_DEEP = 'this is nested too deeply';
const TOO_MUCH = `more than ${MAX_TOKENS} words and signs come before this: no configuration is so long`;

/** What the lexer adds (the beginning of a document, of a scalar, the end of a flow) and does not stand in the text. */
const MARKS: ReadonlySet<string> = new Set(['\u0002', '\u001f', '\u0018']);

function excessAt(text: string, offset: number, message: string): Excess {
  const before = text.slice(0, offset);
  const lineStart = before.lastIndexOf('\n') + 1;
  return { line: before.split('\n').length, column: offset - lineStart + 1, message };
}

import { Lexer } from 'yaml';
import type { ConfigProblem } from '../model/config.ts';

/** More than any configuration has; the parser takes about a second for them. */
const MAX_TOKENS = 200_000;
/** Nested brackets. */
const MAX_DEPTH = 100;
export const MAX_ALIASES = 100;

export const TOO_MANY_ALIASES = `more than ${MAX_ALIASES} values come from aliases (*name): write them out`;

/** Where a text exceeds a limit. */
export type Excess = Omit<ConfigProblem, 'file'>;

/**
 * The position at which a YAML text exceeds a limit; null for none. A mebibyte can keep the parser busy for minutes and fill a
 * gibibyte of memory; the lexer is linear, and can be stopped.
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
const TOO_MUCH = `more than ${MAX_TOKENS} tokens come before this line: check whether this is a configuration`;

/** Tokens that the lexer adds (start of a document or a scalar, end of a flow) and that are not in the text. */
const MARKS: ReadonlySet<string> = new Set(['\u0002', '\u001f', '\u0018']);

function excessAt(text: string, offset: number, message: string): Excess {
  const before = text.slice(0, offset);
  const lineStart = before.lastIndexOf('\n') + 1;
  return { line: before.split('\n').length, column: offset - lineStart + 1, message };
}

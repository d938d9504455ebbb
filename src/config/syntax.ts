import type { ErrorCode, YAMLError } from 'yaml';
import { invisibleCharacter } from '../lib/text.ts';

/** A syntax error, `offset` characters into the text. */
export interface SyntaxProblem {
  readonly offset: number;
  readonly message: string;
}

/** The parser's error as our message, which advises and never repeats the text: it may contain a password. */
export function syntaxProblem(error: YAMLError, text: string): SyntaxProblem {
  const [offset] = error.pos;
  const [line = ''] = text.slice(text.lastIndexOf('\n', offset - 1) + 1).split(/\r?\n/, 1);
  const invisible = invisibleCharacter(line);
  const what =
    ADVICE[error.code] ??
    'this is not valid YAML: check for a missing quote, colon or bracket, here or on the lines above';
  const seen = invisible === null ? '' : `; the line has an invisible character (${invisible}): type it again`;
  return { offset, message: `${what}${seen}` };
}

const INDENT = 'the indentation is wrong: keys of one mapping begin in the same column, and brackets must be closed';
const QUOTE = 'put the whole value in quotes';

const ADVICE: Readonly<Partial<Record<ErrorCode, string>>> = {
  BAD_INDENT: INDENT,
  BAD_ALIAS: `a leading * is an alias in YAML: ${QUOTE}`,
  BAD_DQ_ESCAPE: 'this is not an escape of YAML: use single quotes to keep backslashes',
  BAD_SCALAR_START: `a value cannot begin with this character: ${QUOTE}`,
  BLOCK_AS_IMPLICIT_KEY: `a second "key: value" cannot follow on the same line: indent it on a line of its own, or ${QUOTE}`,
  MISSING_CHAR: 'something is missing here: a colon after a key, or a closing quote or bracket',
  MULTILINE_IMPLICIT_KEY: INDENT,
  MULTIPLE_DOCS: 'a second document begins here (---): remove it, because a file has only one',
  NON_STRING_KEY: 'a key must be a single word',
  RESOURCE_EXHAUSTION: 'this is nested too deeply',
  TAB_AS_INDENT: 'tabs cannot indent YAML: use spaces',
  TAG_RESOLVE_FAILED: 'tags (!name) are not supported: remove it, or put the value in quotes',
  UNEXPECTED_TOKEN: `this cannot follow the value before it: ${QUOTE} (an address in brackets needs them, like '[::1]:8080:localhost:22')`,
};

import type { ErrorCode, YAMLError } from 'yaml';

/** Something that is not YAML, `offset` characters into the text. */
export interface SyntaxProblem {
  readonly offset: number;
  readonly message: string;
}

/** The parser's complaint in our words, which advise and never repeat the text: a password may stand in it. */
export function syntaxProblem(error: YAMLError): SyntaxProblem {
  const what =
    ADVICE[error.code] ??
    'this cannot be read as YAML here: look for a missing quote, colon or bracket, here or on the lines above';
  return { offset: error.pos[0], message: what };
}

const INDENT =
  'the indentation does not fit: keys that belong together begin in the same column, and brackets must be closed';
const QUOTE = 'put the whole value in quotes';

const ADVICE: Readonly<Partial<Record<ErrorCode, string>>> = {
  BAD_INDENT: INDENT,
  BAD_ALIAS: `a * at the beginning means an alias in YAML: ${QUOTE}`,
  BAD_DQ_ESCAPE: 'this is no escape of YAML: write the value in single quotes to keep its backslashes',
  BAD_SCALAR_START: `a value cannot begin with this character: ${QUOTE}`,
  BLOCK_AS_IMPLICIT_KEY: `a second "key: value" cannot follow on the same line: indent it on a line of its own, or ${QUOTE}`,
  MISSING_CHAR: 'something is missing here: a colon after a key, or a closing quote or bracket',
  MULTILINE_IMPLICIT_KEY: INDENT,
  MULTIPLE_DOCS: 'a second document begins here (---): the file may have only one',
  NON_STRING_KEY: 'a key must be a single word',
  RESOURCE_EXHAUSTION: 'this is nested too deeply',
  TAB_AS_INDENT: 'tabs cannot indent YAML: use spaces',
  TAG_RESOLVE_FAILED: 'tags (!name) are not understood here: remove it, or put the value in quotes',
  UNEXPECTED_TOKEN: `this cannot follow the value before it: ${QUOTE} (an address in brackets needs them, like '[::1]:8080:localhost:22')`,
};

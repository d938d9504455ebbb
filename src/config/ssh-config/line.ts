import { BadValue } from '../values/value.ts';
import { findKeyword, type Keyword, unknownKeyword } from './keywords.ts';
import type { Origin, SshOption } from './option.ts';
import { matchesPatternList } from '../values/pattern.ts';
import { type SplitLine, splitArguments, splitLine } from './words.ts';

/** A valid line. */
export interface Line {
  readonly keyword: Keyword;
  readonly args: readonly string[];
  readonly column: number;
}

/** An invalid line. The message is a complete sentence. */
export interface BadLine {
  readonly column: number;
  readonly message: string;
}

/** Parses one line. Null for an empty line, a comment, and an unknown keyword of IgnoreUnknown. */
export function parseLine(text: string, ignoreUnknown: string): Line | BadLine | null {
  const line = splitLine(text);
  if (line === null) return null;
  const { column } = line;
  const keyword = findKeyword(line.keyword);
  if (keyword === undefined && !matchesPatternList(line.keyword.toLowerCase(), ignoreUnknown.toLowerCase()))
    return { column, message: unknownKeyword(line.keyword) };
  try {
    const args = readArguments(keyword, line);
    return keyword === undefined || keyword.shape === 'ignored' ? null : { keyword, args, column };
  } catch (error) {
    if (!(error instanceof BadValue)) throw error;
    return { column, message: `${keyword?.name ?? 'this line'} ${error.message}` };
  }
}

/** Parses `Key=Value` or `Key Value` (the argument of -o) as a line of a file. The problem is a complete sentence. */
export function parseOption(text: string, origin: Origin): { option: SshOption } | { problem: string } {
  const [first = '', ...more] = text.split('\n');
  if (more.some((line) => line.trim() !== '') || text.includes('\0')) return { problem: 'an option must be one line' };
  const split = splitLine(first);
  if (split === null) return { problem: 'an option must be a keyword and its value, such as Port=22' };
  const keyword = findKeyword(split.keyword);
  // An ignored keyword is an option without effect.
  if (keyword?.shape === 'ignored') return { option: { key: keyword.key, args: [], origin } };
  const line = parseLine(first, '');
  if (line === null) return { problem: 'an option must be a keyword and its value, such as Port=22' };
  if ('message' in line) return { problem: line.message };
  const { key, name } = line.keyword;
  if (BLOCKS.includes(key)) return { problem: `${name} is for files only: it cannot be given on a command line` };
  return { option: { key, args: line.args, origin } };
}

/** The keywords that structure a file. */
const BLOCKS = ['host', 'match', 'include'];

/** The arguments of a line, as many as its keyword takes. The messages end a sentence that begins with the keyword. */
function readArguments(keyword: Keyword | undefined, { rest }: SplitLine): readonly string[] {
  if (rest === '') throw new BadValue('needs a value');
  const args = splitArguments(rest);
  if (args === null) throw new BadValue('has an unclosed quote');
  return keyword === undefined ? [] : ARGUMENTS[keyword.shape](args, rest, keyword.key);
}

type ReadArguments = (args: readonly string[], rest: string, key: string) => readonly string[];

/** The arguments of each kind of keyword, from the words of the line or the rest of it. */
const ARGUMENTS: Readonly<Record<Keyword['shape'], ReadArguments>> = {
  one: (args) => counted(args, 1, 1),
  two: (args) => counted(args, 1, 2),
  pair: (args) => counted(args, 2, 2),
  list: (args, _, key) => {
    checkAlone(args, key === 'permitremoteopen' ? ['none', 'any'] : ['none']);
    return withoutEmpty(args);
  },
  names: withoutEmpty,
  sent: (args) => {
    if (args.some((name) => name === '' || name.includes('=')))
      throw new BadValue('takes names of variables only, without values');
    return args;
  },
  set: (args) => {
    if (args.some((setting) => !setting.includes('='))) throw new BadValue('takes settings such as NAME=value');
    return args;
  },
  command: (_, rest) => [rest.replace(/^[ \t\r\n=]+/, '')],
  text: (_, rest) => [restUntilComment(rest)],
  criteria: (args) => args,
  ignored: () => [],
};

function counted(args: readonly string[], min: number, max: number): readonly string[] {
  if (args.slice(0, min).includes('') || args.length === 0) throw new BadValue('needs a value');
  if (args.length < min) throw new BadValue('needs two arguments: the listener and the target');
  if (args.includes('')) throw new BadValue('has an empty argument');
  if (args.length > max) throw new BadValue('has too many arguments: put a value with spaces in quotes');
  return args;
}

function checkAlone(args: readonly string[], words: readonly string[]): void {
  const found = words.find((word) => args.length > 1 && args.some((argument) => argument.toLowerCase() === word));
  if (found !== undefined) throw new BadValue(`has ${found} besides other values: it must be the only one`);
}

function withoutEmpty(args: readonly string[]): readonly string[] {
  if (args.includes('')) throw new BadValue('has an empty argument');
  return args;
}

function restUntilComment(rest: string): string {
  const text = rest
    .replace(/^[ \t\r\n=]+/, '')
    .replace(/#.*/s, '')
    .trim();
  if (text === '') throw new BadValue('needs a value');
  return text;
}

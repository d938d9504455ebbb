import { printable } from '../../lib/text.ts';
import { BadValue } from '../values/value.ts';
import { matchesHostList, matchesPatternList } from '../values/pattern.ts';

/** The values that Host and Match blocks are matched with. */
export interface MatchSubject {
  /** For `Host`: the host as the user named it, in the final pass the name after HostName. */
  readonly name: string;
  /** For `Match host`: the HostName found so far. */
  readonly host: string;
  readonly originalHost: string;
  /** The User found so far, or the local user. */
  readonly user: string;
  readonly localUser: string;
  /** The Tag found so far, or empty. */
  readonly tag: string;
  readonly final: boolean;
}

export interface MatchResult {
  readonly active: boolean;
  /** Whether it asks for a second pass over the files. */
  readonly wantsFinal: boolean;
  /** The first criterion that decided because it is never evaluated; or null. */
  readonly unevaluated: string | null;
}

/** `Match`: all criteria must hold (readconf.c, match_cfg_line). Throws a BadValue for a line that ssh rejects. */
export function matchCriteria(args: readonly string[], subject: MatchSubject): MatchResult {
  const result = { active: true, wantsFinal: false, unevaluated: null as string | null };
  const words = [...args];
  let count = 0;
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    const { name, negated, value } = splitCriterion(word);
    if (name === 'all') {
      if (count > 1 || value !== null || words.length > 0)
        throw new BadValue('has criteria besides all: all must be the only one');
      return { ...result, active: result.active && !negated };
    }
    count += 1;
    if (name === 'final') result.wantsFinal = true;
    const holds = evaluate(name, value, words, subject);
    if (holds === null && result.active) result.unevaluated = name;
    if (holds === null || holds === negated) result.active = false;
  }
  if (count === 0) throw new BadValue('needs a criterion, such as host or all');
  return result;
}

/** The test of each criterion; null for one that is never evaluated, with a `!` or without. */
const CRITERIA: Readonly<Record<string, (subject: MatchSubject, list: string) => boolean | null>> = {
  host: ({ host }, list) => matchesHostList(host, list),
  originalhost: ({ originalHost }, list) => matchesHostList(originalHost, list),
  user: ({ user }, list) => matchesPatternList(user, list),
  localuser: ({ localUser }, list) => matchesPatternList(localUser, list),
  tagged: ({ tag }, list) => (tag === '' ? list === '' : matchesPatternList(tag, list)),
  command: (_, list) => list === '', // no command is run
  sessiontype: (_, list) => matchesPatternList('none', list), // as with ssh -N
  exec: () => null,
  localnetwork: () => null,
  version: () => null,
};
const KNOWN = ['all', 'canonical', 'final', ...Object.keys(CRITERIA)];

/** Splits `!name=value` into its parts. */
function splitCriterion(word: string): { name: string; negated: boolean; value: string | null } {
  const [, not = '', text = '', value] = /^(!?)([^=]*)(?:=(.*))?$/s.exec(word) ?? [];
  return { name: text.toLowerCase(), negated: not === '!', value: value ?? null };
}

/** Whether a criterion holds; null where it is never evaluated. Takes the value from `words` where none is attached. */
function evaluate(name: string, value: string | null, words: string[], subject: MatchSubject): boolean | null {
  if ((name === 'canonical' || name === 'final') && value === null) return subject.final;
  const criterion = Object.hasOwn(CRITERIA, name) ? CRITERIA[name] : undefined;
  if (criterion === undefined) throw new BadValue(unknownCriterion(name));
  const mayBeEmpty = name === 'tagged' || name === 'command';
  const list = value === null || (value === '' && !mayBeEmpty) ? nextValue(words) : value;
  if (list.startsWith('#') || (list === '' && !mayBeEmpty)) throw new BadValue(`needs a value for ${name}`);
  return criterion(subject, list);
}

/** Up to OpenSSH 9.9, an `=` may be a word of its own or precede the value. */
function nextValue(words: string[]): string {
  const word = words.shift() ?? '';
  return word === '=' ? (words.shift() ?? '') : word.replace(/^=/, '');
}

function unknownCriterion(name: string): string {
  const shown = /^[a-z]{1,20}$/.test(name) ? ` ${printable(name)}` : '';
  return `has the unknown criterion${shown}; known are ${KNOWN.join(', ')}`;
}

import { printable } from '../../lib/text.ts';
import { BadValue } from '../values/value.ts';
import { matchesHostList, matchesPattern, matchesPatternList } from '../values/pattern.ts';

/** What the blocks of a file are matched with. */
export interface MatchSubject {
  /** What `Host` sees: the host as the user named it, in the final pass the name that HostName made of it. */
  readonly name: string;
  /** What `Match host` sees: the HostName found so far. */
  readonly host: string;
  readonly originalHost: string;
  /** The User found so far, or the local user. */
  readonly user: string;
  readonly localUser: string;
  /** The Tag found so far, or empty. */
  readonly tag: string;
  readonly final: boolean;
}

/** What a Match line says. */
export interface MatchResult {
  readonly active: boolean;
  /** It asks for a second pass over the files. */
  readonly wantsFinal: boolean;
  /** The first criterion that decided only because it is never evaluated, or null. */
  readonly unevaluated: string | null;
}

/** `Host`: one pattern must match, and none with ! (readconf.c, oHost). Unlike Match, capitals are a difference. */
export function matchHost(patterns: readonly string[], name: string): boolean {
  const matching = patterns.filter((pattern) => matchesPattern(name, pattern.replace(/^!/, '')));
  return matching.length > 0 && !matching.some((pattern) => pattern.startsWith('!'));
}

/** `Match`: all criteria must hold (readconf.c, match_cfg_line). Throws a BadValue for a line that ssh refuses. */
export function matchCriteria(args: readonly string[], subject: MatchSubject): MatchResult {
  const result = { active: true, wantsFinal: false, unevaluated: null as string | null };
  const words = [...args];
  let count = 0;
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    const { name, negated, value } = splitCriterion(word);
    if (name === 'all') {
      if (count > 1 || value !== null || words.length > 0) throw new BadValue('has criteria besides all');
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

/** What a criterion asks of the subject. Those that are never found out here say null, and are no different under a `!`. */
const CRITERIA: Readonly<Record<string, (subject: MatchSubject, list: string) => boolean | null>> = {
  host: ({ host }, list) => matchesHostList(host, list),
  originalhost: ({ originalHost }, list) => matchesHostList(originalHost, list),
  user: ({ user }, list) => matchesPatternList(user, list),
  localuser: ({ localUser }, list) => matchesPatternList(localUser, list),
  tagged: ({ tag }, list) => (tag === '' ? list === '' : matchesPatternList(tag, list)),
  command: (_, list) => list === '', // none is ever run
  sessiontype: (_, list) => matchesPatternList('none', list), // as with ssh -N
  exec: () => null,
  localnetwork: () => null,
  version: () => null,
};
const KNOWN = ['all', 'canonical', 'final', ...Object.keys(CRITERIA)];

/** `!name=value` in its parts; what stands before an `=` must be a criterion for it to be one. */
function splitCriterion(word: string): { name: string; negated: boolean; value: string | null } {
  const [, not = '', text = '', value] = /^(!?)([^=]*)(?:=(.*))?$/s.exec(word) ?? [];
  return { name: text.toLowerCase(), negated: not === '!', value: value ?? null };
}

/** Whether one criterion holds; null if that is not found out. Takes the value from `words` where it is not at hand. */
function evaluate(name: string, value: string | null, words: string[], subject: MatchSubject): boolean | null {
  if ((name === 'canonical' || name === 'final') && value === null) return subject.final;
  const criterion = Object.hasOwn(CRITERIA, name) ? CRITERIA[name] : undefined;
  if (criterion === undefined) throw new BadValue(unknownCriterion(name));
  const mayBeEmpty = name === 'tagged' || name === 'command';
  const list = value === null || (value === '' && !mayBeEmpty) ? nextValue(words) : value;
  if (list.startsWith('#') || (list === '' && !mayBeEmpty)) throw new BadValue(`needs a value for ${name}`);
  return criterion(subject, list);
}

/** Up to OpenSSH 9.9 an `=` may stand alone or before the value. */
function nextValue(words: string[]): string {
  const word = words.shift() ?? '';
  return word === '=' ? (words.shift() ?? '') : word.replace(/^=/, '');
}

function unknownCriterion(name: string): string {
  const shown = /^[a-z]{1,20}$/.test(name) ? ` ${printable(name)}` : '';
  return `has the unknown criterion${shown}; known are ${KNOWN.join(', ')}`;
}

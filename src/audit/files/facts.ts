import { printable } from '../../lib/text.ts';
import { readAuthorizedKeys, unreadLines, type KeyEntry } from './authorized-keys.ts';
import { dependsOnOrigin } from './match-criteria.ts';
import { MAX_ACCOUNTS } from './script.ts';

/** What an administrator could read on the server. Text is safe to print, except keys and rules, which are unchanged. */
export interface ServerFacts {
  /** The output of `sshd -T` for a login of the user from here: the values of each option, in small letters; empty without output. */
  readonly rules: ReadonlyMap<string, readonly string[]>;
  /** Of the user, in the order in which sshd takes them. */
  readonly keys: readonly KeyEntry[];
  /** Other accounts that the key lets in, as `NAME (FILE)`. */
  readonly otherAccounts: readonly string[];
  readonly hasHome: boolean;
  /** What could not be read, and why; empty where all was. */
  readonly problems: readonly string[];
}

/** Reads the output of the script; an incomplete one becomes a problem. */
export function readFacts(output: string): ServerFacts {
  const rules = new Map<string, string[]>();
  const files = new Map<string, string[]>();
  const otherAccounts: string[] = [];
  const problems: string[] = [];
  let hasHome = false;
  let ended = false;
  let take: (line: string) => void = () => {};
  const sections: Readonly<Record<string, (rest: string) => void>> = {
    // Other users see neither the folders of this user nor the rules of sshd.
    uid: (rest) => {
      if (rest !== '0') problems.push('the login is not root, and `sudo -n` asks for a password');
    },
    rules: () => (take = (line) => addRule(rules, line)),
    match: (rest) => {
      const [user = '', ...criteria] = rest.split(' ');
      if (dependsOnOrigin(criteria.join(' '), user))
        problems.push(
          `sshd has other rules for logins from other addresses, and only those for this one were read (Match ${printable(criteria.join(' '), 100)})`,
        );
    },
    problem: (rest) => problems.push(printable(rest, 200)),
    home: () => (hasHome = true),
    keys: (rest) => {
      const lines: string[] = [];
      files.set(printable(rest, 200), lines);
      take = (line) => lines.push(line);
    },
    unreadable: (rest) => problems.push(`${printable(rest, 200)} could not be read`),
    other: (rest) => {
      const [name = '', ...path] = rest.split(' ');
      if (otherAccounts.length < MAX_SHOWN) otherAccounts.push(printable(`${name} (${path.join(' ')})`, 200));
    },
    accounts: (rest) => {
      if (Number(rest) > MAX_ACCOUNTS)
        problems.push(`only ${MAX_ACCOUNTS} of ${printable(rest, 12)} accounts were searched`);
    },
    end: () => (ended = true),
  };
  for (const line of output.split('\n')) {
    if (line.startsWith('|')) take(line.slice(1));
    else if (line.startsWith('@')) {
      const [name = '', ...rest] = line.slice(1).split(' ');
      take = () => {};
      if (Object.hasOwn(sections, name)) sections[name]!(rest.join(' '));
    }
  }
  if (!ended) problems.push('the answer of the server is incomplete');
  if (rules.size === 0) problems.push('sshd did not print its rules');
  for (const [path, lines] of files)
    for (const line of unreadLines(lines)) problems.push(`line ${line} of ${path} is not understood`);
  const keys = [...files].flatMap(([path, lines]) => readAuthorizedKeys(path, lines));
  return { rules, keys, otherAccounts, hasHome, problems: [...new Set(problems)].slice(0, MAX_SHOWN) };
}

const MAX_SHOWN = 20;
const MAX_VALUES = 1000;

function addRule(rules: Map<string, string[]>, line: string): void {
  const [name = '', ...words] = line.split(' ');
  const values = rules.get(name) ?? [];
  if (values.length < MAX_VALUES) rules.set(name, [...values, ...words]);
}

import { printable } from '../../lib/text.ts';
import { readAuthorizedKeys, unreadLines, type KeyEntry } from './authorized-keys.ts';
import { dependsOnOrigin } from './match-criteria.ts';
import { MAX_ACCOUNTS } from './script.ts';

/** What an administrator could read on the server. Text is safe to print; keys and rules are as they are there. */
export interface ServerFacts {
  /** What `sshd -T` says for a login of the user from here: the values of each option, in small letters; empty where it said nothing. */
  readonly rules: ReadonlyMap<string, readonly string[]>;
  /** Of the user, in the order in which sshd takes them. */
  readonly keys: readonly KeyEntry[];
  /** Other accounts that the key lets in, as `NAME (FILE)`. */
  readonly otherAccounts: readonly string[];
  /** Whether the user has a home. */
  readonly hasHome: boolean;
  /** What could not be read, and why; empty where all was. */
  readonly problems: readonly string[];
}

/** Reads what the script wrote; what is not of its form becomes a problem. */
export function readFacts(output: string): ServerFacts {
  const rules = new Map<string, string[]>();
  const files = new Map<string, string[]>();
  const otherAccounts: string[] = [];
  const problems: string[] = [];
  let hasHome = false;
  let ended = false;
  let take: (line: string) => void = () => {};
  const sections: Readonly<Record<string, (rest: string) => void>> = {
    // Others do not see into the folders of a user, and sshd tells them nothing.
    uid: (rest) => {
      if (rest !== '0') problems.push('that login is not root, and `sudo -n` does not make it root without a password');
    },
    rules: () => (take = (line) => addRule(rules, line)),
    match: (rest) => {
      const [user = '', ...criteria] = rest.split(' ');
      if (dependsOnOrigin(criteria.join(' '), user))
        problems.push(
          `sshd has other rules for logins from elsewhere, and only those from here were read (Match ${printable(criteria.join(' '), 100)})`,
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
        problems.push(`of ${printable(rest, 12)} accounts, ${MAX_ACCOUNTS} were looked at`);
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
  if (!ended) problems.push('the answer of the server is not complete');
  if (rules.size === 0) problems.push('sshd did not tell its rules');
  for (const [path, lines] of files)
    for (const line of unreadLines(lines)) problems.push(`line ${line} of ${path} is none that is understood here`);
  const keys = [...files].flatMap(([path, lines]) => readAuthorizedKeys(path, lines));
  return { rules, keys, otherAccounts, hasHome, problems: problems.slice(0, MAX_SHOWN) };
}

const MAX_SHOWN = 20;
const MAX_VALUES = 1000;

function addRule(rules: Map<string, string[]>, line: string): void {
  const [name = '', ...words] = line.split(' ');
  const values = rules.get(name) ?? [];
  if (values.length < MAX_VALUES) rules.set(name, [...values, ...words]);
}

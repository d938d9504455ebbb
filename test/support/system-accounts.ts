import { existsSync, readFileSync } from 'node:fs';

/**
 * This machine's passwd(5), group(5), shadow(5) or gshadow(5) without the users and groups that somebody has made: one may have a name that a
 * test makes.
 */
export function systemAccounts(name: 'passwd' | 'group' | 'shadow' | 'gshadow'): string {
  if (name === 'passwd' || name === 'group') return text(linesOf(name).filter((line) => SYSTEM_ACCOUNT.test(line)));
  const accounts = systemAccounts(name === 'shadow' ? 'passwd' : 'group');
  const names = new Set(accounts.split('\n').map(nameIn));
  return text(linesOf(name).filter((line) => names.has(nameIn(line))));
}

/** Those of every Debian have numbers up to 100; the others are of programs that a login needs. */
const SYSTEM_ACCOUNT =
  /^(?:[^:]+:[^:]*:(?:\d{1,2}|100|65534)|(?:_[^:]*|sshd|systemd-[^:]*|messagebus|polkitd):[^:]*:\d+):/;

function linesOf(name: string): readonly string[] {
  const file = `/etc/${name}`;
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : [];
}

function text(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join('');
}

function nameIn(line: string): string {
  return line.slice(0, line.indexOf(':'));
}

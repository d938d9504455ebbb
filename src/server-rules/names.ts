import { UserError } from '../lib/user-error.ts';
import { printable } from '../lib/text.ts';

/**
 * A user name that means itself wherever it is written: in sh, in sshd_config, where `Match User` takes patterns and lists, in
 * authorized_keys and in a path. useradd(8) allows no more either.
 */
export function checkUser(name: string, whose: string): string {
  if (USER.test(name)) return name;
  throw new UserError(
    `${whose} '${printable(name, 40)}' cannot be written into these files: use letters, digits, '.', '_' and '-' only, at most 32, and begin with a letter or '_'`,
  );
}

const USER = /^[A-Za-z_][A-Za-z0-9_.-]{0,31}$/;

/** A name for a `Host` block and for known_hosts, where patterns, lists and options have a meaning of their own. */
export function checkAlias(name: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/.test(name)) return name;
  throw new UserError(
    `the alias '${printable(name, 40)}' cannot be written into these files: use letters, digits, '.', '_' and '-' only`,
  );
}

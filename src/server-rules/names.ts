import { UserError } from '../lib/user-error.ts';
import { printable } from '../lib/text.ts';

/**
 * A user name without special characters, neither of sh nor of `Match User` (patterns and lists), authorized_keys or a path. useradd(8)
 * allows no others either. Throws a UserError.
 */
export function checkUser(name: string, whose: string): string {
  if (USER.test(name)) return name;
  throw new UserError(
    `${whose} '${printable(name, 40)}' cannot be written into these files: use letters, digits, '.', '_' and '-' only, at most 32, and begin with a letter or '_'`,
  );
}

const USER = /^[A-Za-z_][A-Za-z0-9_.-]{0,31}$/;

/** A name for a `Host` block and for known_hosts, without patterns and lists, and unlike an option. Throws a UserError. */
export function checkAlias(name: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/.test(name)) return name;
  throw new UserError(
    `the alias '${printable(name, 40)}' cannot be written into these files: use letters, digits, '.', '_' and '-' only`,
  );
}

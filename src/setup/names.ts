import { SetupError } from './setup-error.ts';
import { printable } from '../lib/text.ts';

/**
 * A user name that means itself wherever it is written: in sh, in sshd_config, where `Match User` takes patterns and lists, in
 * authorized_keys and in a path. useradd(8) allows no more either.
 */
export function checkUser(name: string, whose: string): string {
  if (USER.test(name)) return name;
  throw new SetupError(
    `${whose} '${printable(name, 40)}' cannot be written into these files: use letters, digits, '.', '_' and '-' only, at most 32, and begin with a letter or '_'`,
  );
}

const USER = /^[A-Za-z_][A-Za-z0-9_.-]{0,31}$/;

/** A name for a `Host` block and for known_hosts, where patterns, lists and options have a meaning of their own. */
export function checkAlias(name: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/.test(name)) return name;
  throw new SetupError(
    `the alias '${printable(name, 40)}' cannot be written into these files: use letters, digits, '.', '_' and '-' only`,
  );
}

/**
 * A host name or address in the text of permitlisten and permitopen: patterns, lists and quotes are refused. In lower case where
 * `fold` says so, because sshd compares a listener's address so (remote_open_match in OpenSSH's channels.c), but a target's as it is.
 */
export function permitHost(host: string, fold: 'lower' | 'as-is'): string {
  if (!/^[\p{L}\p{N}_.:%-]+$/u.test(host)) {
    throw new SetupError(`the address '${printable(host, 40)}' of a forward cannot be written into these files`);
  }
  const text = fold === 'lower' ? host.toLowerCase() : host;
  return text.includes(':') ? `[${text}]` : text;
}

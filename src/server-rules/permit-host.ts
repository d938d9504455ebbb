import { UserError } from '../lib/user-error.ts';
import { printable } from '../lib/text.ts';

/**
 * A host name or address in the text of permitlisten and permitopen: patterns, lists and quotes are refused. In lower case where
 * `fold` says so, because sshd compares a listener's address so (remote_open_match in OpenSSH's channels.c), but a target's as it is.
 */
export function permitHost(host: string, fold: 'lower' | 'as-is'): string {
  if (!/^[\p{L}\p{N}_.:%-]+$/u.test(host)) {
    throw new UserError(`the address '${printable(host, 40)}' of a forward cannot be written into these files`);
  }
  const text = fold === 'lower' ? host.toLowerCase() : host;
  return text.includes(':') ? `[${text}]` : text;
}

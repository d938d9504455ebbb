import { bracketed } from '../model/endpoint.ts';
import { UserError } from '../lib/user-error.ts';
import { printable } from '../lib/text.ts';

/**
 * A host name or address for permitlisten and permitopen. Throws a UserError for patterns, lists and quotes. `fold` 'lower' is for
 * listeners, whose addresses sshd compares in lower case (remote_open_match in OpenSSH's channels.c), unlike those of targets.
 */
export function permitHost(host: string, fold: 'lower' | 'as-is'): string {
  if (!/^[\p{L}\p{N}_.:%-]+$/u.test(host)) {
    throw new UserError(`the address '${printable(host, 40)}' of a forward cannot be written into these files`);
  }
  return bracketed(fold === 'lower' ? host.toLowerCase() : host);
}

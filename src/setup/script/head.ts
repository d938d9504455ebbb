import { shellQuote } from '../../lib/shell-quote.ts';
import { KEYS_FOLDER } from '../../server-rules/server-setup.ts';
import { comment } from './quote.ts';
import type { System } from './system.ts';

/** Names of tunnels in a sentence. */
export function namesOf(tunnels: readonly string[]): string {
  return tunnels.length === 1 ? `the tunnel ${tunnels[0]}` : `the tunnels ${tunnels.join(', ')}`;
}

/** The variables of both scripts; `user` is a name, or null for the first argument of a function. */
export function variables(user: string | null, system: System): string {
  return [
    user === null ? 'user=$1' : `user=${shellQuote(user)}`,
    `keys_folder=${shellQuote(KEYS_FOLDER)}`,
    'keys="$keys_folder/$user"',
    // Sorted first in its folder: of several values for one login, sshd takes the first.
    'drop_in="/etc/ssh/sshd_config.d/00-tunneld-$user.conf"',
    `state_folder=${shellQuote(system.state)}`,
    'state="$state_folder/$user"',
    // Not named after a user: several users may have their keys in one folder.
    'folder_made="$state_folder/.keys-folder-made"',
    'block_begin="# Made by tunneld server-setup for $user: begin"',
    'block_end="# Made by tunneld server-setup for $user: end"',
  ].join('\n');
}

/** A script with these parts, after what it says of itself. */
export function script(head: readonly string[], parts: readonly string[]): string {
  const start = ['#!/bin/sh', comment(head), 'set -eu', 'umask 022', PATHS];
  return `${[start.join('\n'), ...parts].join('\n\n')}\n`;
}

/** sudo and su may leave some of these out of PATH. */
export const PATHS = `PATH="$PATH:/usr/sbin:/sbin:/usr/local/sbin:/usr/lib/ssh"
LC_ALL=C
export PATH LC_ALL`;

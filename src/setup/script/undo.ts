import { BASICS, FILES } from './files.ts';
import { namesOf, PATHS, variables } from './head.ts';
import { comment } from './quote.ts';
import type { System } from './system.ts';

/** The script that takes away what setUpScript() made, and nothing else. */
export function undoScript(user: string, tunnels: readonly string[], system: System, server: string): string {
  return [
    '#!/bin/sh',
    comment([
      `Undoes on the server ${server} what \`tunneld server-setup\` made for ${namesOf(tunnels)}. Read it, then run it there as root.`,
      'A user that was there before stays; one that was made goes, and its connections end.',
    ]),
    'set -eu',
    'umask 022',
    PATHS,
    '',
    variables(user, system),
    '',
    ROLL_BACK,
    '',
    BASICS,
    '',
    FILES,
    '',
    system.user,
    '',
    system.reload,
    '',
    STEPS,
    '',
  ].join('\n');
}

const ROLL_BACK = String.raw`
put_back() {
  code=$?
  trap - EXIT
  if [ "$finished" != yes ]; then
    [ "$code" != 0 ] || code=1
    put_files_back
    left='everything is as it was before'
    [ "$whole" = yes ] || left='but not everything could be put back as it was'
    printf 'tunneld: nothing was undone: %s\n' "$left" >&2
  fi
  rm -rf "$work"
  exit "$code"
}
whole=yes
`.trim();

const STEPS = String.raw`
if [ ! -d "$state" ]; then
  finished=yes
  # A run that was killed may have come no further.
  remove_folders
  say "there is nothing to undo: this server was not set up for $user"
  exit 0
fi
connection="user=$user,host=localhost,addr=127.0.0.1,laddr=127.0.0.1,lport=22"
remove_leftovers
"$sshd" -t || die 'sshd does not accept its own configuration: mend it first'
before_block >"$work/without"
replace "$config" "$work/without"
discard "$drop_in"
discard "$keys"
"$sshd" -t || die 'sshd does not accept its configuration without ours'
reload_sshd || die 'sshd could not be reloaded'
# From here on nothing is put back: nobody can log in as this user any more.
finished=yes
restore_password
unmake_user || die "the user $user could not be removed: end what runs as this user (above), and run this again"
rm -rf "$state"
remove_folders
say "undone: this server knows nothing of the tunnel of $user any more"
`.trim();

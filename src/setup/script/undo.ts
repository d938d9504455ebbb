import { BASICS, FILES } from './files.ts';
import { namesOf, script, variables } from './head.ts';
import { DROP_SPARE, SPARE } from './spare-host-key.ts';
import type { System } from './system.ts';

/** The script that removes what setUpScript() made, and nothing else. */
export function undoScript(user: string, tunnels: readonly string[], system: System, server: string): string {
  return script(
    [
      `Undoes \`tunneld server-setup\` for ${namesOf(tunnels)} on the server ${server}. Read it, then run it there as root.`,
      'A user that existed before is kept; one that was created is removed, and its connections end.',
    ],
    [variables(user, system), undoSteps(system)],
  );
}

/** The work itself, below variables(). */
export function undoSteps(system: System): string {
  return [ROLL_BACK, BASICS, FILES, system.user, system.reload, SPARE, DROP_SPARE, STEPS].join('\n\n');
}

const ROLL_BACK = String.raw`
put_back() {
  code=$?
  trap - EXIT
  if [ "$finished" != yes ]; then
    [ "$code" != 0 ] || code=1
    put_files_back
    left='all changes were reverted'
    [ "$whole" = yes ] || left='not all changes could be reverted'
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
  # A run that was killed may have left no more than this.
  remove_folders
  drop_spare
  say "nothing to undo: this server was not set up for $user"
  exit 0
fi
connection="user=$user,host=localhost,addr=127.0.0.1,laddr=127.0.0.1,lport=22"
remove_leftovers
"$sshd" -t || die 'the configuration of sshd is invalid: fix the errors above first'
before_block >"$work/without"
replace "$config" "$work/without"
discard "$drop_in"
discard "$keys"
"$sshd" -t || die 'the configuration of sshd is invalid without our lines (see the errors above)'
reload_sshd || die 'sshd could not be reloaded'
# From here on nothing is reverted: this user can no longer log in.
finished=yes
restore_password
unmake_user || die "the user $user could not be removed: end its processes (see above), and run this again"
rm -rf "$state"
remove_folders
drop_spare
say "undone: the setup for $user was removed from this server"
`.trim();

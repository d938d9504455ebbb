import { matchBlock } from '../../server-rules/rules.ts';
import { effectiveLines, type ServerSetup } from '../../server-rules/server-setup.ts';
import { BASICS, FILES } from './files.ts';
import { namesOf, script, variables } from './head.ts';
import { RESERVED_PORTS } from './reserved-ports.ts';
import { printer } from './quote.ts';
import { MAKE_SPARE, SPARE } from './spare-host-key.ts';
import type { System } from './system.ts';

/** The script that sets a server up. It may be run again; undoScript() makes the one that undoes it. */
export function setUpScript(setup: ServerSetup, system: System, server: string, spare = false): string {
  const { user, tunnels, notes, keyLines } = setup;
  const isCertified = keyLines.some((line) => line.startsWith('cert-authority,'));
  const what = isCertified
    ? 'certificates of the authorities'
    : keyLines.length === 1
      ? 'the key'
      : `the ${keyLines.length} keys`;
  return script(
    [
      `Sets the server ${server} up for ${namesOf(tunnels)} of tunneld. Read it, then run it there as root.`,
      '',
      `The user ${user} logs in with ${what} below, and may do only what is listed. Where a step fails, all changes are reverted.`,
      ...(spare
        ? ['A spare host key is made, which sshd does not use; devices learn it for the day on which it is used.']
        : []),
      'A second run changes nothing. A key of the tunnel that is no longer below is removed.',
      `\`tunneld server-setup ${tunnels[0]} --undo\` prints the script that undoes it.`,
      ...notes.flatMap((note) => ['', `Note: ${note}`]),
    ],
    [variables(user, system), textsOf(setup), setUpSteps(system, spare)],
  );
}

/** What differs from one setup to the other. */
export function textsOf(setup: ServerSetup): string {
  const { keyLines, entries, marks, complete, user, options } = setup;
  return [
    '# Keys with their limits. They are kept in a folder of root, so that no program of the user can change them.',
    printer('authorized_keys', keyLines.join('\n')),
    '',
    '# What tells each of these lines from others, and this device from others.',
    printer('entries', entries.join('\n')),
    printer('marks', marks.join('\n')),
    '# Whether these are all keys of the tunnel.',
    `complete=${complete ? 'yes' : 'no'}`,
    '',
    printer('match_block', matchBlock(user, options).join('\n')),
    '',
    '# What `sshd -T` has to print for a login of this user afterwards.',
    printer('wanted', effectiveLines(setup)),
  ].join('\n');
}

/** The work itself, below variables() and textsOf(). */
export function setUpSteps(system: System, spare = false): string {
  const parts = [ROLL_BACK, BASICS, FILES, RESERVED_PORTS, system.user, system.reload];
  return [...parts, ...(spare ? [SPARE, MAKE_SPARE] : []), steps(spare)].join('\n\n');
}

const ROLL_BACK = String.raw`
put_back() {
  code=$?
  trap - EXIT
  if [ "$finished" != yes ] && [ "$started" = yes ]; then
    set +e
    put_files_back
    if [ -e "$work/state" ]; then
      # An earlier run made the rest: only what this one added is removed.
      [ -e "$work/state/user-made" ] || unmake_user || whole=no
      [ -e "$work/state/password-was" ] || restore_password || whole=no
      rm -rf "$state" && cp -pR "$work/state" "$state"
    elif [ -e "$state" ]; then
      unmake_user || whole=no
      restore_password || whole=no
      # Where something is left, the state stays, for the script that undoes the setup.
      if [ "$whole" = yes ]; then rm -rf "$state"; fi
      remove_folders
    fi
    [ "$reloaded" = no ] || reload_sshd || printf '%s\n' 'tunneld: sshd could not be reloaded: reload it by hand, to apply its restored files' >&2
  fi
  if [ "$finished" != yes ]; then
    [ "$code" != 0 ] || code=1
    left='all changes to this server were reverted'
    [ "$whole" = yes ] || left='not all changes could be reverted: fix the errors above, then run the script that undoes the setup'
    printf 'tunneld: the setup failed: %s\n' "$left" >&2
  fi
  rm -rf "$work"
  exit "$code"
}
started=no
reloaded=no
whole=yes
`.trim();

/** The last parts of the work, with those for a spare host key. */
function steps(spare: boolean): string {
  return STEPS.replaceAll(/^#(make_spare|tell_spare)#\n/gm, spare ? '$1\n' : '');
}

const STEPS = String.raw`
# with_block FILE: prints it with our lines before its first Match (or before our lines for another user, which begin with a comment),
# so that no earlier block decides; else at its end, closed by "Match all", so that later lines are not part of our block.
with_block() {
  first=$(awk '
    /^# Made by tunneld server-setup for .*: begin$/ { print NR; exit }
    { gsub(/[="]/, " ") }
    tolower($1) == "match" { print NR; exit }
  ' "$1")
  if [ -n "$first" ]; then
    awk -v first="$first" 'NR < first' "$1"
    printf '%s\n' "$block_begin"
    match_block
    printf '%s\n' "$block_end"
    tail -n "+$first" "$1"
  else
    cat "$1"
    [ -z "$(tail -c 1 "$1")" ] || echo
    printf '%s\n' "$block_begin"
    match_block
    printf '%s\n' 'Match all' "$block_end"
  fi
}

# Whether the main file includes the folder for all logins, not below a Match.
reads_folder() {
  [ -d /etc/ssh/sshd_config.d ] && awk '
    { gsub(/[="]/, " ") }
    tolower($1) == "match" { exit }
    tolower($1) == "include" { for (i = 2; i <= NF; i++) if ($i ~ /^(\/etc\/ssh\/)?sshd_config\.d\/\*(\.conf)?$/) found = 1 }
    END { exit !found }
  ' "$config"
}

# Compares what sshd will apply to a login of this user, from here and from elsewhere, with what was asked for.
compare() {
  wrong=no
  wanted >"$work/wanted"
  for address in 127.0.0.1 192.0.2.1; do
    "$sshd" -T -C "user=$user,host=$address,addr=$address,laddr=$address,lport=22" >"$work/effective" || return 1
    while IFS= read -r line; do
      if grep -Fxq -- "$line" "$work/effective"; then continue; fi
      key=$(printf '%s\n' "$line" | cut -d ' ' -f 1)
      printf 'tunneld: sshd would apply "%s" to logins from %s, not "%s"\n' \
        "$(grep "^$key " "$work/effective" | head -n 1)" "$address" "$line" >&2
      wrong=yes
    done <"$work/wanted"
  done
  [ "$wrong" = no ]
}

marks >"$work/keys"
entries >"$work/entries"
connection="user=$user,host=localhost,addr=127.0.0.1,laddr=127.0.0.1,lport=22"
remove_leftovers
"$sshd" -t || die 'the configuration of sshd is invalid: fix the errors above first'
if [ ! -e "$state" ]; then
  check_user
  [ ! -e "$keys" ] || die "$keys exists and was not written by this script: use another user for the tunnel"
fi
# A key in common means that it is the same device, with a newer key.
if [ -e "$keys" ] && grep -q . "$keys" && ! grep -Fq -f "$work/keys" "$keys"; then
  die "$user is set up for other keys, of another device or older ones: use another user for this tunnel. If the key of this device was changed, list both, the new one first (identityFile: [NEW, OLD]), and generate this script again; remove the old one when the tunnel logs in with the new one"
fi
check_reserved_ports

if [ -e "$state" ]; then cp -pR "$state" "$work/state"; fi
started=yes
mkdir -p "$state"
chmod 700 "$state_folder" "$state"
# A run that was killed may have left changes that sshd has not loaded yet.
if [ -e "$state/unfinished" ]; then changed=yes; fi
: >"$state/unfinished"
make_user
if [ ! -d "$keys_folder" ]; then
  : >"$folder_made"
  mkdir "$keys_folder"
fi
authorized_keys >"$work/new"
: >"$work/others"
: >"$work/replaced"
if [ -e "$keys" ]; then
  grep -Fv -f "$work/keys" "$keys" >"$work/others" || :
  grep -F -f "$work/keys" "$keys" | grep -Fv -f "$work/entries" >"$work/replaced" || :
fi
if [ "$complete" = no ]; then cat "$work/others" >>"$work/new"; fi
replace "$keys" "$work/new"

before_block >"$work/without"
if reads_folder; then
  { printf '%s\n' "$block_begin" && match_block && printf '%s\n' "$block_end"; } >"$work/new"
  replace "$config" "$work/without"
  rm -f "$state/sshd_config.without" "$state/sshd_config.with"
  replace "$drop_in" "$work/new"
else
  with_block "$work/without" >"$work/new"
  discard "$drop_in"
  # First, so that even a run that is killed can be undone exactly; on the disk, so that nothing empty is put back after a loss of power.
  cp "$work/without" "$state/sshd_config.without"
  cp "$work/new" "$state/sshd_config.with"
  sync "$state/sshd_config.without" "$state/sshd_config.with"
  replace "$config" "$work/new"
fi

"$sshd" -t || die 'the new configuration of sshd is invalid (see the errors above)'
compare || die "other lines of sshd_config override the settings for $user: move them below our Match block"
for option in allowgroups denyusers denygroups; do
  grep "^$option " "$work/effective" | while IFS= read -r line; do
    say "note: sshd_config has \"$line\", which applies to logins of $user too"
  done
done
if [ "$changed" = yes ]; then
  reloaded=yes
  reload_sshd || die 'sshd could not be reloaded'
fi
#make_spare#
rm -f "$state/unfinished"
finished=yes
# tell REASON FILE: the keys of these lines.
tell() {
  while IFS= read -r line; do say "$1: $(printf '%s\n' "$line" | ssh-keygen -lf - 2>/dev/null || printf '%s' "$line")"; done <"$2"
}
tell 'replaced, because another line lets this key in now; its open connections stay until they end' "$work/replaced"
if [ -s "$work/others" ]; then
  reason='removed, because the tunnel no longer has it; its open connections stay until they end'
  [ "$complete" = yes ] || reason='kept, because not every key of the tunnel could be read where this script was generated'
  tell "$reason" "$work/others"
fi
say "$user is set up; sshd -T confirms:"
sed 's/^/  /' "$work/wanted"
#tell_spare#
if [ "$changed" = no ]; then say 'nothing was changed'; fi
`.trim();

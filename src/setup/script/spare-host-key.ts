/**
 * Parts of sh about a spare host key: made by sshd's side beside its host keys, and in none of its HostKey lines, so that it is known to
 * devices before it is ever used.
 */
export const SPARE = String.raw`
spare=/etc/ssh/ssh_host_ed25519_spare_key
spare_comment='spare host key, made by tunneld server-setup'
`.trim();

/** What the line of the spare key begins with that the script prints: behind it is the key. */
export const SPARE_LINE = 'spare host key: ';

/** make_spare: the first device that asks for it has it made; no other key is touched. */
export const MAKE_SPARE = String.raw`
make_spare() {
  [ ! -e "$spare" ] || return 0
  remember "$spare"
  remember "$spare.pub"
  ssh-keygen -q -t ed25519 -N '' -C "$spare_comment" -f "$spare" </dev/null || die "$spare could not be made"
  changed=yes
}

tell_spare() {
  say "${SPARE_LINE}$(ssh-keygen -y -f "$spare" </dev/null | cut -d ' ' -f 1,2)"
}
`.trim();

/** drop_spare: with the last device it goes, where sshd does not use it, and nobody else made it. */
export const DROP_SPARE = String.raw`
drop_spare() {
  if [ -d "$state_folder" ] || ! grep -Fq " $spare_comment" "$spare.pub" 2>/dev/null; then return 0; fi
  anybody='user=root,host=localhost,addr=127.0.0.1,laddr=127.0.0.1,lport=22'
  if used=$("$sshd" -T -C "$anybody" 2>/dev/null) && ! printf '%s\n' "$used" | grep -Fxq "hostkey $spare"; then
    rm -f "$spare" "$spare.pub"
    say "the spare host key $spare was removed: no device is set up any more"
  else
    say "$spare stays: sshd uses it"
  fi
}
`.trim();

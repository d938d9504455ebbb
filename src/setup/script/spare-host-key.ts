import { isCompleteKey } from '../../connection/known-hosts/key-blob.ts';
import { SPARE_FILE } from '../../server-rules/server-setup.ts';

/**
 * Parts of sh about a spare host key: made by sshd's side beside its host keys, and in none of its HostKey lines, so that it is known to
 * devices before it is ever used.
 */
export const SPARE = String.raw`
spare=${SPARE_FILE}
spare_comment='spare host key, made by tunneld server-setup'
# uses_spare: prints yes, no or unknown: whether sshd uses the key, which then is a host key like the others.
uses_spare() {
  any_login='user=root,host=localhost,addr=127.0.0.1,laddr=127.0.0.1,lport=22'
  if ! used=$("$sshd" -T -C "$any_login" 2>/dev/null); then echo unknown
  elif printf '%s\n' "$used" | grep -Fxq "hostkey $spare"; then echo yes
  else echo no; fi
}
# public_half: prints that of the private key, with its comment since OpenSSH 8.2. Fails for a key with a passphrase.
public_half() { ssh-keygen -y -P '' -f "$spare" </dev/null 2>/dev/null; }
key_only() { cut -d ' ' -f 1,2; }
# is_in_pub HALF: whether the .pub file has this key.
is_in_pub() { [ -e "$spare.pub" ] && [ "$(printf '%s\n' "$1" | key_only)" = "$(key_only <"$spare.pub")" ]; }
# remove_drafts: removes the drafts of runs that were killed; the name of each ends with the id of its process.
remove_drafts() {
  for draft in "$spare".[0-9]*; do
    [ -e "$draft" ] || continue
    id=$(basename "$draft" .pub | sed 's/.*\.//')
    if [ "$id" = "$$" ] || ! kill -0 "$id" 2>/dev/null; then rm -f "$draft"; fi
  done
}
`.trim();

/** What the line of the spare key begins with that the script prints: behind it is the key. */
export const SPARE_LINE = 'spare host key: ';

/**
 * make_spare: the first device that asks for it has it made; no other key is touched, nor one that another device has made meanwhile. The
 * next run writes `.pub` where one was killed before that, and so does a run that finds the key of another which has not come that far.
 */
export const MAKE_SPARE = String.raw`
make_spare() {
  remove_drafts
  own="$spare.$$"
  remember "$own"
  remember "$own.pub"
  if [ ! -e "$spare" ]; then
    ssh-keygen -q -t ed25519 -N '' -C "$spare_comment" -f "$own" </dev/null || die "$spare could not be made"
    # Else a loss of power could leave an empty key under its name.
    sync "$own" "$own.pub"
    if ln "$own" "$spare" 2>/dev/null; then
      mv -f "$own.pub" "$spare.pub"
      changed=yes
    fi
    [ -e "$spare" ] || die "$spare could not be made"
  fi
  if half=$(public_half) && ! is_in_pub "$half"; then
    printf '%s\n' "$half" >"$own.pub"
    mv -f "$own.pub" "$spare.pub"
    changed=yes
  fi
  rm -f "$own" "$own.pub"
}

tell_spare() {
  say "${SPARE_LINE}$(public_half | key_only)"
  [ "$(uses_spare)" != yes ] ||
    say "note: sshd uses $spare, so that it is no spare key any more: rename it, in its HostKey line too, and reload sshd; then this makes another one"
}
`.trim();

/** drop_spare: with the last device it goes, where this script made it and sshd does not use it. */
export const DROP_SPARE = String.raw`
# is_ours: whether this script made the key. A run that is killed may leave it without .pub, or .pub without it.
is_ours() {
  half=$(public_half) || half=
  case $half in *" $spare_comment") return 0 ;; esac
  grep -Fq " $spare_comment" "$spare.pub" 2>/dev/null || return 1
  [ ! -e "$spare" ] || is_in_pub "$half"
}

drop_spare() {
  if [ -d "$state_folder" ]; then return 0; fi
  remove_drafts
  is_ours || return 0
  case $(uses_spare) in
  unknown) say "$spare stays: sshd -T failed, and does not show whether sshd uses it" ;;
  yes) say "$spare stays: sshd uses it" ;;
  no)
    rm -f "$spare" "$spare.pub"
    say "the spare host key $spare was removed: no device is set up any more"
    ;;
  esac
}
`.trim();

/** `ssh-ed25519 AAAA…`; null for anything else. */
export function spareKeyIn(text: string): Buffer | null {
  const [, base64] = /^ssh-ed25519 ([A-Za-z0-9+/]+=*)$/.exec(text) ?? [];
  const key = base64 === undefined ? null : Buffer.from(base64, 'base64');
  return key !== null && isCompleteKey(key) ? key : null;
}

import { isCompleteKey } from '../../connection/known-hosts/key-blob.ts';
import { SPARE_FILE } from '../../server-rules/server-setup.ts';

/**
 * Parts of sh about a spare host key: made by sshd's side beside its host keys, and in none of its HostKey lines, so that it is known to
 * devices before it is ever used.
 */
export const SPARE = String.raw`
spare=${SPARE_FILE}
spare_comment='spare host key, made by tunneld server-setup'
# uses_spare: whether sshd uses it, so that it is none any more: yes, no or unknown.
uses_spare() {
  anybody='user=root,host=localhost,addr=127.0.0.1,laddr=127.0.0.1,lport=22'
  if ! used=$("$sshd" -T -C "$anybody" 2>/dev/null); then echo unknown
  elif printf '%s\n' "$used" | grep -Fxq "hostkey $spare"; then echo yes
  else echo no; fi
}
`.trim();

/** What the line of the spare key begins with that the script prints: behind it is the key. */
export const SPARE_LINE = 'spare host key: ';

/** make_spare: the first device that asks for it has it made; no other key is touched, nor one that another device has made meanwhile. */
export const MAKE_SPARE = String.raw`
make_spare() {
  [ ! -e "$spare" ] || return 0
  own="$spare.$$"
  remember "$own"
  remember "$own.pub"
  ssh-keygen -q -t ed25519 -N '' -C "$spare_comment" -f "$own" </dev/null || die "$spare could not be made"
  if ln "$own" "$spare" 2>/dev/null; then
    mv -f "$own.pub" "$spare.pub"
    changed=yes
  fi
  rm -f "$own" "$own.pub"
  [ -e "$spare" ] || die "$spare could not be made"
}

tell_spare() {
  say "${SPARE_LINE}$(ssh-keygen -y -f "$spare" </dev/null | cut -d ' ' -f 1,2)"
  [ "$(uses_spare)" != yes ] ||
    say "note: sshd uses $spare, so that it is no spare key any more: rename it, in its HostKey line too, and reload sshd; then this makes another one"
}
`.trim();

/** drop_spare: with the last device it goes, where this script made it and sshd does not use it. */
export const DROP_SPARE = String.raw`
drop_spare() {
  if [ -d "$state_folder" ] || ! grep -Fq " $spare_comment" "$spare.pub" 2>/dev/null; then return 0; fi
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

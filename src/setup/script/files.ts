/** Parts of sh that both scripts share. None has a ${…}, which these strings would take for theirs. */

export const BASICS = String.raw`
say() { printf '%s\n' "$*"; }
die() {
  printf 'tunneld: %s\n' "$*" >&2
  exit 1
}

[ "$(id -u)" = 0 ] || die 'this script must be run as root (sudo sh FILE)'
sshd=$(command -v sshd) || die 'there is no sshd on this machine'
[ -f /etc/ssh/sshd_config ] || die 'there is no /etc/ssh/sshd_config on this machine'
# What it leads to where it is a link, because the file itself will be replaced.
config=$(readlink -f /etc/ssh/sshd_config)
work=$(mktemp -d)
count=0
finished=no
changed=no
trap 'put_back' EXIT
trap 'exit 1' HUP INT TERM
`.trim();

/** Changes to files that can all be taken back until the script says that it has finished. */
export const FILES = String.raw`
# remember FILE: what it is now will be put back where this script fails.
remember() {
  count=$((count + 1))
  printf '%s\n' "$1" >"$work/$count.path"
  if [ -e "$1" ]; then cp -p "$1" "$work/$count.file"; fi
}

# replace FILE TEXT: in one step, so that nobody reads half of it, and only where it differs.
replace() {
  if [ -e "$1" ] && cmp -s "$1" "$2"; then return 0; fi
  remember "$1"
  if [ -e "$1" ]; then cp -p "$1" "$1.tunneld-new"; else (umask 022 && : >"$1.tunneld-new"); fi
  cat "$2" >"$1.tunneld-new"
  mv -f "$1.tunneld-new" "$1"
  changed=yes
}

# What an earlier run had begun to write when it was killed; sshd may read it where it reads the whole folder.
remove_leftovers() { rm -f "$config.tunneld-new" "$drop_in.tunneld-new" "$keys.tunneld-new"; }

# discard FILE
discard() {
  [ -e "$1" ] || return 0
  remember "$1"
  rm -f "$1"
  changed=yes
}

put_files_back() {
  while [ "$count" -gt 0 ]; do
    path=$(cat "$work/$count.path")
    rm -f "$path.tunneld-new"
    if [ -e "$work/$count.file" ]; then
      { cp -p "$work/$count.file" "$path.tunneld-new" && mv -f "$path.tunneld-new" "$path"; } || whole=no
    else
      rm -f "$path" || whole=no
    fi
    count=$((count - 1))
  done
}

# Folders of ours that nobody uses any more.
remove_folders() {
  if [ -e "$folder_made" ] && rmdir "$keys_folder" 2>/dev/null; then rm -f "$folder_made"; fi
  rmdir "$state_folder" 2>/dev/null || :
}

# The main file without our lines.
without_block() {
  awk -v first="$block_begin" -v last="$block_end" '
    $0 == first { inside = 1 }
    !inside { print }
    $0 == last { inside = 0 }
  ' "$1"
}

# What the main file was before our lines came: to the byte, unless somebody has changed it since.
before_block() {
  if [ -e "$state/sshd_config.with" ] && cmp -s "$config" "$state/sshd_config.with"; then
    cat "$state/sshd_config.without"
  elif grep -Fxq -- "$block_begin" "$config"; then
    without_block "$config"
  else
    cat "$config"
  fi
}
`.trim();

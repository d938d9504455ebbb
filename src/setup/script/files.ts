/** Parts of sh that both scripts share. None contains ${…}, which String.raw would replace. */

export const BASICS = String.raw`
say() { printf '%s\n' "$*"; }
die() {
  printf 'tunneld: %s\n' "$*" >&2
  exit 1
}

[ "$(id -u)" = 0 ] || die 'this script must be run as root (sudo sh FILE)'
sshd=$(command -v sshd) || die 'sshd not found on this machine: install an OpenSSH server'
[ -f /etc/ssh/sshd_config ] || die '/etc/ssh/sshd_config does not exist on this machine'
# The file behind a link, because the file will be replaced.
config=$(readlink -f /etc/ssh/sshd_config)
work=$(mktemp -d)
count=0
finished=no
changed=no
trap 'put_back' EXIT
trap 'exit 1' HUP INT TERM
`.trim();

/** Changes to files, which can be reverted until the script has finished. */
export const FILES = String.raw`
# remember FILE: keeps its present content, which is restored where this script fails.
remember() {
  count=$((count + 1))
  printf '%s\n' "$1" >"$work/$count.path"
  if [ -e "$1" ]; then cp -p "$1" "$work/$count.file"; fi
}

# replace FILE TEXT: replaces it atomically, and only where it differs.
replace() {
  if [ -e "$1" ] && cmp -s "$1" "$2"; then return 0; fi
  remember "$1"
  if [ -e "$1" ]; then cp -p "$1" "$1.tunneld-new"; else (umask 022 && : >"$1.tunneld-new"); fi
  cat "$2" >"$1.tunneld-new"
  # Else a loss of power could leave an empty file under its name.
  sync "$1.tunneld-new"
  mv -f "$1.tunneld-new" "$1"
  changed=yes
}

# Files of an earlier run that was killed while writing; sshd would read them with the rest of its folder.
remove_leftovers() { rm -f "$config.tunneld-new" "$drop_in.tunneld-new" "$keys.tunneld-new"; }

# discard FILE: removes it.
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
      { cp -p "$work/$count.file" "$path.tunneld-new" && sync "$path.tunneld-new" && mv -f "$path.tunneld-new" "$path"; } || whole=no
    else
      rm -f "$path" || whole=no
    fi
    count=$((count - 1))
  done
}

# Removes our folders once they are empty.
remove_folders() {
  if [ -e "$folder_made" ] && rmdir "$keys_folder" 2>/dev/null; then rm -f "$folder_made"; fi
  rmdir "$state_folder" 2>/dev/null || :
}

# without_block FILE: prints the main file without our lines.
without_block() {
  awk -v first="$block_begin" -v last="$block_end" '
    $0 == first { inside = 1 }
    !inside { print }
    $0 == last { inside = 0 }
  ' "$1"
}

# Prints the main file without our lines: byte by byte as it was before, unless it was changed since.
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

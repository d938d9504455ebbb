#!/bin/sh
# Installs Debian 13 for another architecture into a folder, once, and prints the folder: `root.sh arm64`, as root, where the kernel runs
# programs of that architecture. What the package needs is downloaded and not installed: that is apt's work when the package comes.
set -eu
folder=${XDG_CACHE_HOME:-$HOME/.cache}/tunneld-tests/trixie-$1
if [ ! -e "$folder/complete" ]; then
  command -v debootstrap >/dev/null || apt-get install -qq -y --no-install-recommends debootstrap >&2
  rm -rf --one-file-system "$folder"
  mkdir -p "$folder"
  timeout 1800 debootstrap --variant=minbase --arch="$1" trixie "$folder" >&2
  DEBIAN_FRONTEND=noninteractive timeout 600 chroot "$folder" apt-get install -qq -y --download-only nodejs iputils-ping >&2
  # Whether debootstrap takes them away again depends on its version.
  for mounted in "$folder/proc" "$folder/sys"; do ! mountpoint -q "$mounted" || umount "$mounted"; done
  : >"$folder/complete"
fi
echo "$folder"

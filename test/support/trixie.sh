#!/bin/sh
# Installs Debian 13 (systemd 257, and the Node and the sshd of its packages) into a folder, once, and prints the folder: as root, on a
# Debian-like system with network. It is what $TUNNELD_BOX_ROOT of systemd-box.sh may be.
set -eu
folder=${XDG_CACHE_HOME:-$HOME/.cache}/tunneld-tests/trixie
if [ ! -e "$folder/complete" ]; then
  command -v debootstrap >/dev/null || apt-get install -y --no-install-recommends debootstrap >&2
  rm -rf "$folder"
  mkdir -p "$folder"
  debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,nodejs,iputils-ping,iproute2,passwd,openssh-client,autossh trixie "$folder" >&2
  : >"$folder/complete"
fi
if [ ! -e "$folder/usr/sbin/sshd" ]; then
  # A box starts no sshd of its own.
  chroot "$folder" systemctl mask ssh.service ssh.socket >&2
  DEBIAN_FRONTEND=noninteractive chroot "$folder" apt-get install -qq -y --no-install-recommends openssh-server >&2
fi
if [ ! -e "$folder/usr/bin/ssh-audit" ] || [ ! -e "$folder/usr/sbin/dropbear" ]; then
  DEBIAN_FRONTEND=noninteractive chroot "$folder" apt-get install -qq -y --no-install-recommends ssh-audit dropbear-bin >&2
fi
if [ ! -e "$folder/usr/bin/man" ]; then
  # As on every Debian that is not minimal: systemd-analyze verify looks the pages up that a unit names. The box has no use for an index.
  chroot "$folder" systemctl mask man-db.service man-db.timer >&2
  DEBIAN_FRONTEND=noninteractive chroot "$folder" apt-get install -qq -y --no-install-recommends man-db >&2
fi
echo "$folder"

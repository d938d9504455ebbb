#!/bin/sh
# Tests the packages on a Debian 13 for arm64 and one for armhf (or for those that are named), with that Debian's own Node.js, by qemu's user
# mode emulation: `npm run test:arm [-- arm64]`, as root on a Debian-like system with network. The kernel hands programs of these
# architectures to qemu for as long as this runs, unless somebody has told it to before.
set -eu
here=$(dirname "$0")
binfmt=/proc/sys/fs/binfmt_misc
mounted=
registered=

clean() {
  for name in $registered; do echo -1 >"$binfmt/$name"; done
  [ -z "$mounted" ] || umount "$binfmt"
}

# Magic and mask: an ELF file (with 32 or 64 bits, little-endian), an executable or a shared one, of that machine (elf(5)).
register() {
  name=tunneld-test-$$-$1
  mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
  case $1 in
  arm64) qemu=qemu-aarch64-static magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00' ;;
  armhf) qemu=qemu-arm-static magic='\x7fELF\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x28\x00' ;;
  *)
    echo "arm64 or armhf, not $1" >&2
    exit 2
    ;;
  esac
  # F: the kernel opens it now, so that no root needs to hold it.
  printf '%s' ":$name:M::$magic:$mask:$(command -v "$qemu"):F" >"$binfmt/register"
  registered="$registered $name"
}

command -v qemu-aarch64-static >/dev/null ||
  DEBIAN_FRONTEND=noninteractive timeout 600 apt-get install -qq -y --no-install-recommends qemu-user-static >&2
trap clean EXIT
trap 'exit 1' HUP INT TERM
if [ ! -e "$binfmt/register" ]; then
  mount -t binfmt_misc binfmt_misc "$binfmt"
  mounted=yes
fi
[ $# -gt 0 ] || set -- arm64 armhf
for arch; do
  register "$arch"
  sh "$here/root.sh" "$arch" >/dev/null
done
node "$here/../compile.mjs"
TUNNELD_ARCHITECTURES="$*" node --import tsx --test --test-timeout=1800000 "$here/arm.ts"

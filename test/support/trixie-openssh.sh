#!/bin/sh
# Prints a folder for PATH, in which ssh and sshd are those of trixie.sh: they see this machine's files, but for programs and libraries.
set -eu
root=$(sh "$(dirname "$0")/trixie.sh")
bin=$root-bin
mkdir -p "$bin"
for program in ssh:/usr/bin/ssh sshd:/usr/sbin/sshd; do
  name=${program%%:*}
  cat >"$bin/$name.new" <<END
#!/bin/sh
exec unshare --mount sh -c '
  root=\$1 program=\$2
  shift 2
  for folder in dev proc etc run var tmp; do mount --rbind "/\$folder" "\$root/\$folder"; done
  exec chroot "\$root" "\$program" "\$@"
' sh '$root' '${program#*:}' "\$@"
END
  chmod +x "$bin/$name.new"
  mv "$bin/$name.new" "$bin/$name"
done
echo "$bin"

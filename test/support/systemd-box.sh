#!/bin/sh
# Boots systemd as process 1 of a machine within this one: `systemd-box.sh DIRECTORY NODE`, as root. DIRECTORY is empty and
# its name is nobody else's; NODE is the program that will be /usr/local/bin/node. The box has process, mount, host name, IPC
# and cgroup namespaces of its own and shares the network. Its files are this machine's, or those of the system installed in the
# folder $TUNNELD_BOX_ROOT, with its own node; what it writes stays in memory and goes with it. It knows a handful of units,
# so that nothing of this machine is started in it; packages may bring theirs.
# Prints the number of the box's process 1, and ends the box when standard input ends: it outlives nobody who needs it.
# Exit code 77: this machine does not permit it.
set -eu
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
script=$(readlink -f "$0")

# Where no other process sees the mounts, and with whose end they are gone.
outside() {
  trap '' HUP INT TERM # it ends as described above, and not otherwise
  {
    mount -t tmpfs -o mode=755 box "$dir" && cd "$dir" && mkdir upper work root cgroup &&
      mount -t overlay -o "lowerdir=$root,upperdir=$dir/upper,workdir=$dir/work" box root &&
      mount -t cgroup2 box cgroup && mkdir "cgroup/$name"
  } || exit 77
  unshare --fork --kill-child --pid --mount --propagation private --uts --ipc sh "$script" "$dir" "$node" inside &
  box=$!
  read -r _ || true
  # Process 1 takes all others of its namespace along; --kill-child reaches it only as long as it is not yet systemd. When it
  # has ended by itself, its number may be another process's by now.
  if [ -s pid ] && number=$(cat pid) && read -r _ _ _ parent _ <"/proc/$number/stat" && [ "$parent" = "$box" ]; then
    kill -KILL "$number"
  else
    kill -KILL "$box" || true
  fi
  wait "$box" || true
  find "cgroup/$name" -depth -type d -exec rmdir {} +
}

# In the new process namespace, while /proc is still that of outside: it tells the number this process has there.
inside() {
  cd "$dir"
  read -r number _ </proc/self/stat
  echo "$number" >pid
  echo 0 >"cgroup/$name/cgroup.procs"
  exec unshare --cgroup sh "$script" "$dir" "$node" boot
}

boot() {
  number=$(cat "$dir/pid")
  cd "$dir/root"
  # As in other containers, systemd keeps away from the kernel's settings and devices because they are read-only.
  mount -t proc proc proc
  mount --bind proc/sys proc/sys
  mount -o remount,bind,ro proc/sys
  mount -t sysfs -o ro sysfs sys
  mount -t cgroup2 cgroup2 sys/fs/cgroup
  for folder in dev run tmp var/log var/tmp etc/systemd/system; do
    mkdir -p "$folder"
    mount -t tmpfs -o mode=755 tmpfs "$folder"
  done
  chmod 1777 tmp var/tmp
  for device in null zero full random urandom tty; do
    : >"dev/$device"
    mount --bind "/dev/$device" "dev/$device"
  done
  mkdir dev/pts dev/shm
  mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
  mount -t tmpfs -o mode=1777 tmpfs dev/shm
  ln -s pts/ptmx dev/ptmx
  ln -s /proc/self/fd dev/fd
  [ "$root" = / ] || node=usr/bin/node
  mkdir -p usr/local/bin
  rm -f usr/local/bin/node
  : >usr/local/bin/node
  mount --bind "$node" usr/local/bin/node

  units=.${systemd%/systemd}/system
  for unit in sysinit.target basic.target multi-user.target network.target shutdown.target umount.target \
    systemd-journald.socket systemd-journald-dev-log.socket systemd-journald.service; do
    cp "$units/$unit" etc/systemd/system/
  done
  mount -t tmpfs -o mode=755 tmpfs "$units"
  mkdir etc/systemd/system/sysinit.target.wants run/systemd run/systemd/journald.conf.d
  ln -s ../systemd-journald.service etc/systemd/system/sysinit.target.wants/
  printf '[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\n' >run/systemd/journald.conf.d/box.conf

  pivot_root . .
  umount -l .
  cd /
  mount --make-rshared /
  echo "$number"
  paths=/run/systemd/system.control:/etc/systemd/system:/run/systemd/system:${systemd%/systemd}/system
  # Nor are this machine's generators run: a dozen processes at each start and each daemon-reload.
  exec env -i PATH="$PATH" container=tunneld-test SYSTEMD_UNIT_PATH="$paths" SYSTEMD_GENERATOR_PATH=/run/no-generators \
    "$systemd" --system --unit=multi-user.target --log-target=journal --show-status=0 >/dev/null
}

dir=$1
node=$2
name=${dir##*/}
root=${TUNNELD_BOX_ROOT:-/}
systemd=/usr/lib/systemd/systemd
[ -x "$root$systemd" ] || systemd=/lib/systemd/systemd

case ${3:-} in
'')
  [ -x "$root$systemd" ] || {
    echo "$root$systemd is missing" >&2
    exit 77
  }
  unshare --mount --propagation private true || exit 77
  exec unshare --mount --propagation private sh "$script" "$dir" "$node" outside
  ;;
*) "$3" ;;
esac

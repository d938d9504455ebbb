#!/bin/sh
# Makes sure that the programs the tests drive are there: a real sshd, ssh with ssh-keygen, ping, systemd (itself, and its
# checks of units), the means to build small networks, other SSH servers, proxies, programs that people send through a tunnel,
# a browser, autossh and sshpass, shells that complete command lines, a reader of manual pages, two script languages as independent readers,
# a compiler for the fuzzer of the addon, and further versions of Node.js.
# On a Debian-like system, as root, what is missing is installed; elsewhere it is named. No service is started.
set -eu
PATH="$PATH:/usr/sbin:/usr/local/sbin:/usr/lib/ssh:/sbin"
export PATH

sh "$(dirname "$0")/nodes.sh"

missing=
has() { command -v "$1" >/dev/null 2>&1; }
has sshd || missing="$missing openssh-server"
{ has ssh && has ssh-keygen; } || missing="$missing openssh-client"
has ping || missing="$missing iputils-ping"
{ has systemd-analyze && has systemd-notify; } || missing="$missing systemd"
has ip || missing="$missing iproute2"
has iptables || missing="$missing iptables"
has /usr/bin/python3 || missing="$missing python3"
has dpkg-deb || missing="$missing dpkg"
has gcc || missing="$missing gcc"
has perl || missing="$missing perl-base"
has git || missing="$missing git"
has rsync || missing="$missing rsync"
has nc || missing="$missing netcat-openbsd"
has autossh || missing="$missing autossh"
has sshpass || missing="$missing sshpass"
has mandoc || missing="$missing mandoc"
has fish || missing="$missing fish"
has zsh || missing="$missing zsh"
has script || missing="$missing bsdutils"
has sudo || missing="$missing sudo"
has tinyproxy || missing="$missing tinyproxy-bin"
{ has prometheus && has promtool; } || missing="$missing prometheus"
{ has chromium-headless-shell || has chromium; } || missing="$missing chromium-headless-shell"
has nginx || missing="$missing nginx-light"
has haproxy || missing="$missing haproxy"
has microsocks || missing="$missing microsocks"
has dropbear || missing="$missing dropbear-bin"
/usr/bin/python3 -W ignore -c 'import asyncssh' >/dev/null 2>&1 || missing="$missing python3-asyncssh"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ] || ! has apt-get; then
  echo "The tests need these programs; please install them (Debian's names):$missing" >&2
  exit 1
fi

# Debian starts a service as soon as it is installed, unless this file answers "forbidden" (101).
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  trap 'exit 1' HUP INT TERM
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi

log=$(mktemp)
echo "Installing for the tests:$missing"
export DEBIAN_FRONTEND=noninteractive
# First what a run has left that was ended in the middle.
# shellcheck disable=SC2086 # a list of names
if ! { dpkg --configure -a && apt-get update && apt-get install -y --no-install-recommends -o Acquire::Retries=3 $missing; } >"$log" 2>&1; then
  cat "$log" >&2
  rm -f "$log"
  echo "Could not install:$missing" >&2
  exit 1
fi
rm -f "$log"

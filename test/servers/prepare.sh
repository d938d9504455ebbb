#!/bin/sh
# What test/servers needs beyond the programs of the other tests: Go with two libraries, libssh with a compiler, paramiko.
set -eu
[ -e /usr/share/gocode/src/github.com/gliderlabs/ssh ] && [ -e /usr/include/libssh/server.h ] &&
  command -v go >/dev/null && command -v cc >/dev/null && /usr/bin/python3 -W ignore -c 'import paramiko' 2>/dev/null && exit 0
packages='golang-go golang-github-gliderlabs-ssh-dev golang-golang-x-crypto-dev libssh-dev gcc libc6-dev python3-paramiko'
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "These tests need (Debian's names): $packages" >&2
  exit 1
fi
# shellcheck disable=SC2086 # a list of names
apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $packages

#!/bin/sh
# What test/servers needs beyond the programs of the other tests: Go with two libraries, libssh with a compiler, paramiko, and a TPM in software.
set -eu
[ -e /usr/share/gocode/src/github.com/gliderlabs/ssh ] && [ -e /usr/include/libssh/server.h ] &&
  command -v go >/dev/null && command -v cc >/dev/null && /usr/bin/python3 -W ignore -c 'import paramiko' 2>/dev/null &&
  command -v swtpm >/dev/null && command -v tpm2_ptool >/dev/null && command -v tpm2_getcap >/dev/null &&
  command -v tpm2-abrmd >/dev/null && command -v dbus-daemon >/dev/null && exit 0
packages='golang-go golang-github-gliderlabs-ssh-dev golang-golang-x-crypto-dev libssh-dev gcc libc6-dev python3-paramiko swtpm libtpm2-pkcs11-1 libtpm2-pkcs11-tools tpm2-tools tpm2-abrmd dbus-daemon'
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "These tests need (Debian's names): $packages" >&2
  exit 1
fi
# shellcheck disable=SC2086 # a list of names
apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $packages

#!/bin/sh
# Installs what test/systemd/provisioning.ts drives besides the programs of test/support/prepare.sh, on a Debian-like system as root.
set -eu
command -v ansible-playbook >/dev/null 2>&1 && command -v cloud-init >/dev/null 2>&1 && exit 0
export DEBIAN_FRONTEND=noninteractive
apt-get update >/dev/null
apt-get install -y --no-install-recommends ansible-core cloud-init >/dev/null

#!/bin/sh
# Runs all tests under another version of Node.js: `under-node.sh 22`.
set -eu
folder=$(sh "$(dirname "$0")/nodes.sh" "${1:?which version: 22 or 24}")
[ -x "$folder/node" ] || {
  echo "There is no Node.js $1 for this machine among those of test/support/nodes" >&2
  exit 1
}
PATH=$folder:$PATH exec npm run -s test:run

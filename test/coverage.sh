#!/bin/sh
# Runs the tests, with $1 `--unit` some of them, and prints how much of each room of src ran. The build has its source maps.
set -u
cache=$PWD/node_modules/.cache
rm -rf "$cache/tunneld-coverage"
mkdir -p -m 1777 "$cache/tunneld-coverage" # for daemons of other users, too
node test/compile.mjs --maps || exit 1
NODE_V8_COVERAGE=$cache/tunneld-coverage node --enable-source-maps "$cache/tunneld-tests/test/run.js" "$@"
code=$?
node "$cache/tunneld-tests/test/coverage.js" "$cache/tunneld-coverage"
exit $code

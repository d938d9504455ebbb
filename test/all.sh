#!/bin/sh
# All of `npm test`: builds, looks for the programs that the tests drive, compiles the tests and runs everything. What needs nothing of
# each other is done at the same time, since each leaves a processor idle.
set -eu
npm run -s setup
sh test/support/prepare.sh &
prepared=$!
node packaging/build.mjs &
built=$!
node packaging/documents.mjs &
documented=$!
node test/compile.mjs
wait "$built"
wait "$documented"
wait "$prepared"
exec node --enable-source-maps node_modules/.cache/tunneld-tests/test/run.js npm run -s static

#!/bin/sh
# The addon's packets, and what it sends, under AddressSanitizer and UndefinedBehaviorSanitizer: `npm run fuzz:addon -- ROUNDS [SEED]`. Needs gcc, and libcrypto 3.
set -e
program=$(mktemp -d)/packets
trap 'rm -rf "$(dirname "$program")"' EXIT
gcc -std=gnu11 -g -O1 -Wall -Wextra -fsanitize=address,undefined -fno-sanitize-recover=all -o "$program" \
  test/fuzz/packets.c packaging/native/packets.c packaging/native/send.c -l:libcrypto.so.3
"$program" "$@"

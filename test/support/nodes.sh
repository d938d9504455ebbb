#!/bin/sh
# Fetches further versions of Node.js, once, as the lock file in nodes/ pins them, and prints the folder that has the program of one of
# them: `nodes.sh 22`. Without a version it only fetches. They are 240 MB; where there are none for this machine it prints nothing.
set -eu
case "$(uname -s) $(uname -m)" in
'Linux x86_64') arch=x64 ;;
'Linux aarch64') arch=arm64 ;;
*) exit 0 ;;
esac
pinned=$(dirname "$0")/nodes
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tunneld-tests
folder=$cache/nodes-$(sha256sum <"$pinned/package-lock.json" | cut -c1-12)
# To npm each of them is optional, since it is for one processor: one that cannot be fetched is no error to it.
complete() {
  for version in 22 24; do [ -x "$1/node_modules/node-$version-$arch/bin/node" ] || return 1; done
}
if ! complete "$folder"; then
  mkdir -p "$cache"
  new=$(mktemp -d "$cache/fetching.XXXXXX")
  trap 'rm -rf "$new"' EXIT
  trap 'exit 1' HUP INT TERM
  cp "$pinned/package.json" "$pinned/package-lock.json" "$new"
  if ! npm ci --prefix "$new" --ignore-scripts --no-audit --no-fund --loglevel=error >"$new/log" 2>&1 || ! complete "$new"; then
    cat "$new/log" >&2
    echo "The Node.js versions for the tests could not be fetched from $(npm config get registry): see whether it can be reached, and run this again" >&2
    exit 1
  fi
  rm "$new/log"
  for node in "$new"/node_modules/*; do rm -rf "$node/include" "$node/share"; done
  complete "$folder" || rm -rf "$folder"
  # Whoever was quicker has fetched the same.
  mv -T "$new" "$folder" 2>/dev/null || complete "$folder"
fi
[ $# = 0 ] || echo "$folder/node_modules/node-$1-$arch/bin"

/** Part of sh: what other users of this server were promised before, as it stands in the keys folder. */
export const RESERVED_PORTS = String.raw`
# promises <LINES: what their keys may listen on, as HOST:PORT or PORT.
promises() { grep -o 'permitlisten="[^"]*"' | sed 's/^permitlisten="//; s/"$//' || :; }

# Two tunnels on one port are one too many: whoever comes first has the visitors of both.
check_promises() {
  authorized_keys | promises >"$work/listens"
  [ -s "$work/listens" ] || return 0
  for file in "$keys_folder"/*; do
    if [ ! -f "$file" ] || [ "$file" = "$keys" ]; then continue; fi
    case $file in *.tunneld-new) continue ;; esac
    promises <"$file" >"$work/promised"
    port=$(awk '
      function port(text) { sub(/.*:/, "", text); return text }
      function host(text) { return text ~ /:/ ? substr(text, 1, length(text) - length(port(text)) - 1) : "*" }
      function wide(name) { return name ~ /^(\*|localhost|127\.0\.0\.1|\[::1\]|0\.0\.0\.0|\[::\])$/ }
      FILENAME == ARGV[1] { own[$0]; next }
      port($0) ~ /^[0-9]+$/ {
        for (one in own)
          if (port(one) == port($0) && (wide(host(one)) || wide(host($0)) || host(one) == host($0))) { print port($0); exit }
      }
    ' "$work/listens" "$work/promised")
    [ -z "$port" ] || die "port $port of this server is promised to the user $(basename "$file") already (permitlisten in $file): choose another port for this tunnel, or undo what was set up for $(basename "$file") first"
  done
}
`.trim();

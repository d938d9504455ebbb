/** Part of sh: the ports that other users of this server may listen on (permitlisten in the keys folder). */
export const RESERVED_PORTS = String.raw`
# reserved_ports <LINES: prints what their keys may listen on, as HOST:PORT or PORT.
reserved_ports() { grep -o 'permitlisten="[^"]*"' | sed 's/^permitlisten="//; s/"$//' || :; }

# Two tunnels cannot share a port: the one that connects first would get the visitors of both.
check_reserved_ports() {
  authorized_keys | reserved_ports >"$work/listens"
  [ -s "$work/listens" ] || return 0
  for file in "$keys_folder"/*; do
    if [ ! -f "$file" ] || [ "$file" = "$keys" ]; then continue; fi
    case $file in *.tunneld-new) continue ;; esac
    reserved_ports <"$file" >"$work/reserved"
    port=$(awk '
      function port(text) { sub(/.*:/, "", text); return text }
      function host(text) { return text ~ /:/ ? substr(text, 1, length(text) - length(port(text)) - 1) : "*" }
      function wide(name) { return name ~ /^(\*|localhost|127\.0\.0\.1|\[::1\]|0\.0\.0\.0|\[::\])$/ }
      FILENAME == ARGV[1] { own[$0]; next }
      port($0) ~ /^[0-9]+$/ {
        for (one in own)
          if (port(one) == port($0) && (wide(host(one)) || wide(host($0)) || host(one) == host($0))) { print port($0); exit }
      }
    ' "$work/listens" "$work/reserved")
    [ -z "$port" ] || die "port $port of this server is reserved for the user $(basename "$file") (permitlisten in $file): choose another port for this tunnel, or undo the setup of $(basename "$file") first"
  done
}
`.trim();

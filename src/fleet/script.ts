import { FIND_WAY_TO_ROOT } from '../connection/route/root-shell.ts';
import { KEYS_FOLDER } from '../server-rules/server-setup.ts';

/** Finds out how this login becomes root; its answer is a WayToRoot. For any login shell. */
export const ASK_WAY_TO_ROOT = `sh -c '${FIND_WAY_TO_ROOT}; echo "$root"'`;

/**
 * Reads what a server has of its devices, and writes nothing: sh, ss, ps, awk, and sshd's log. Each line of its answer is a word and
 * values, with tabs between them, for readFacts().
 */
export const FLEET_SCRIPT = String.raw`
PATH="$PATH:/usr/sbin:/sbin:/usr/local/sbin"
LC_ALL=C
export PATH LC_ALL
# at_most SECONDS COMMAND: what asks other programs or machines is not waited for without a bound.
at_most() { if command -v timeout >/dev/null 2>&1; then timeout "$@"; else shift && "$@"; fi; }
line() { printf '%s\t%s\n' "$1" "$2"; }
line uid "$(id -u)"
line now "$(date +%s)"

# The register: keys, users, and since when.
set --
hidden=0
for file in FOLDER/*; do
  [ -f "$file" ] || continue
  case $file in *.tunneld-new) continue ;; esac
  if [ -r "$file" ]; then set -- "$@" "$file"; else hidden=$((hidden + 1)); fi
done
line hidden "$hidden"
if [ "$#" -gt 0 ]; then
  awk 'FNR == 1 { user = FILENAME; sub(/.*\//, "", user) } !/^[ \t]*(#|$)/ { print "key\t" user "\t" substr($0, 1, 8192) }' "$@"
  stat -c 'made	%n	%Y' -- "$@" 2>/dev/null | sed 's/	.*\//	/' || :
  # One list for all; a directory service that lists none of its users is asked for each (nsswitch.conf(5)).
  { printf '%s\n' "$@" | sed 's/.*\///'; echo :; at_most 10 getent passwd 2>/dev/null || cat /etc/passwd; } | awk -F : '
    !listing { if ($0 == ":") listing = 1; else missing[$1]; next }
    $1 in missing { print "user\t" $1 "\t" $3; delete missing[$1] }
    END { for (user in missing) if (user !~ /^[0-9]+$/) print "unlisted\t" user }
  ' | while read -r word name uid; do
    if [ "$word" != user ]; then
      uid=$(at_most 5 id -u "$name" 2>/dev/null)
      # One that does not answer for the first does not for the others.
      case $? in 0) ;; 124) break ;; *) continue ;; esac
    fi
    line user "$name	$uid"
  done
fi

# The host keys of sshd, and when they were made.
sshd=$(command -v sshd) || sshd=false
at_most 5 "$sshd" -T -C user=root,host=localhost,addr=127.0.0.1 2>/dev/null | awk '$1 == "hostkey" { print $2 }' | while read -r file; do
  [ -r "$file.pub" ] || continue
  line hostkey "$(stat -c %Y -- "$file")	$(cut -d ' ' -f 1,2 "$file.pub")	$file"
done

# Listeners and connections, with the programs that have them; the programs, with their users and ages.
if command -v ss >/dev/null 2>&1; then
  ss -Hatnp 2>/dev/null | awk '
    $1 == "LISTEN" { print "listen\t" $4 "\t" rest(6) }
    $1 == "ESTAB" { print "open\t" $4 "\t" $5 "\t" rest(6) }
    function rest(first, text, i) { for (i = first; i <= NF; i++) text = text (i > first ? " " : "") $i; return text }
  '
else
  line problem 'ss was not found: ports are not known'
fi
ps -eo pid=,uid=,etimes=,comm= 2>/dev/null | awk '{ name = $4; for (i = 5; i <= NF; i++) name = name " " $i; print "process\t" $1 "\t" $2 "\t" $3 "\t" name }'

# The last login or logout of each user.
sshd_log() {
  for log in /var/log/auth.log /var/log/secure; do
    [ -r "$log" ] || continue
    if [ -r "$log.1" ]; then tail -c 20000000 "$log.1"; fi
    tail -c 20000000 "$log"
    return
  done
  if command -v journalctl >/dev/null 2>&1; then
    at_most 3 journalctl -q --no-pager -o short-unix -n 20000 -t sshd -t sshd-session 2>/dev/null
  fi
}
sshd_log | grep -aE 'sshd(-session)?(\[[0-9]+\])?: ' | awk '
  function when() { return $1 ~ /^[0-9][0-9][0-9][0-9]/ ? $1 : $1 " " $2 " " $3 }
  NR == 1 { print "log\t" when() }
  /^([0-9-]+ [0-9:.]+|[A-Z][a-z]+ +[0-9]+ [0-9:]+|[^ ]+) [^ ]+ sshd(\[[0-9]+\])?: Server listening on / { if (when() != listening) print "listening\t" (listening = when()) }
  # What is logged of a stranger holds the name that was given: only the beginning of a line tells.
  match($0, /^([0-9-]+ [0-9:.]+|[A-Z][a-z]+ +[0-9]+ [0-9:]+|[^ ]+) [^ ]+ sshd(-session)?(\[[0-9]+\])?: (Accepted [a-z\/-]+ for|Disconnected from user|pam_[a-z]+\(sshd:session\): session closed for user|Timeout, client not responding from user) [^ ]+/) {
    user = substr($0, RSTART, RLENGTH)
    sub(/.* /, "", user)
    seen[user] = when()
  }
  END { for (user in seen) print "seen\t" user "\t" seen[user] }
'
line end ''
`
  .trim()
  .replaceAll('FOLDER', KEYS_FOLDER);

import { shellQuote } from '../../lib/shell-quote.ts';

/** What an administrator's shell reads on the server; it writes nothing. */
export interface Question {
  /** The user whose rules are read. */
  readonly user: string;
  /** Public keys in base64 that are searched for in other accounts. */
  readonly keys: readonly string[];
  /** The same of the authorities that have signed certificates of the tunnel. */
  readonly authorities: readonly string[];
}

/** A command for any login shell: reads as root where that needs no password. The first argument of the script is SSH_CONNECTION. */
export const READER = `sh -c 'c="$SSH_CONNECTION"; if [ "$(id -u)" = 0 ]; then exec sh -s -- "$c"; elif sudo -n true 2>/dev/null; then exec sudo -n sh -s -- "$c"; else exec sh -s -- "$c"; fi'`;

/** For its standard input. Lines that begin with `@` are the script's own, those with `|` are what it found. */
export function readerScript({ user, keys, authorities }: Question): string {
  const lists = { blobs: keys, authorities };
  const assigned = Object.entries(lists).map(([name, list]) => `${name}=${shellQuote(list.join('\n'))}`);
  return [`user=${shellQuote(user)}`, ...assigned, SCRIPT, ''].join('\n');
}

/** No person writes a larger file. */
const MAX_FILE_BYTES = 262_144;
/** More accounts are not searched. */
export const MAX_ACCOUNTS = 500;

/** It has no `${`, which would be a placeholder of this template. */
const SCRIPT = String.raw`
PATH="$PATH:/usr/sbin:/sbin:/usr/local/sbin:/usr/lib/ssh"
LC_ALL=C
export PATH LC_ALL
from=$(printf '%s\n' "$1" | cut -d ' ' -f 1)
to=$(printf '%s\n' "$1" | cut -d ' ' -f 3)
port=$(printf '%s\n' "$1" | cut -d ' ' -f 4)
section() { printf '@%s\n' "$(printf '%s' "$*" | tr '\n' ' ')"; }
data() { sed 's/^/|/'; }
accounts() { getent passwd 2>/dev/null || cat /etc/passwd; }

section uid "$(id -u)"
sshd=$(command -v sshd) || sshd=

# The files of the sshd that accepted us: its options are in the name of the process that waits for connections.
config=
options=
pid=$$
while [ -n "$pid" ] && [ "$pid" -gt 1 ] 2>/dev/null; do
  line=$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null) || break
  case $line in
    *sshd*'[listener]'*)
      set -f
      # shellcheck disable=SC2046
      set -- $(printf '%s\n' "$line" | sed -n 's/^sshd: [^ ]*sshd\(.*\) \[listener\].*/\1/p')
      OPTIND=1
      # As sshd itself: sshd(8).
      while getopts :46C:DE:GQR:TV:b:c:def:g:h:ik:o:p:qrtu: option; do
        case $option in
          f) config=$OPTARG ;;
          o) options="$options -o $OPTARG" ;;
        esac
      done
      set +f
      break
      ;;
  esac
  pid=$(awk '/^PPid:/ { print $2 }' "/proc/$pid/status" 2>/dev/null) || break
done

# effective USER [traced]: the rules of sshd; traced, with the evaluation of its Match blocks.
effective() {
  more=
  if [ "$2" = traced ]; then more=-ddd; fi
  set -- "user=$1,host=$from,addr=$from,laddr=$to,lport=$port"
  if [ -n "$config" ]; then "$sshd" -f "$config" $options $more -T -C "$1"; else "$sshd" $options $more -T -C "$1"; fi
}

# files USER HOME UID RULES: where sshd looks for this user's keys. It prints names with blanks like several names: each run of its words
# that is a file may be one.
files() {
  printf '%s\n' "$4" | sed -n 's/^authorizedkeysfile //p' |
    awk -v user="$1" -v home="$2" -v uid="$3" '
      function expanded(name,   i, c, out) {
        out = ""
        for (i = 1; i <= length(name); i++) {
          c = substr(name, i, 1)
          if (c == "%") { i++; c = substr(name, i, 1); if (c == "h") c = home; else if (c == "u") c = user; else if (c == "U") c = uid }
          out = out c
        }
        return substr(out, 1, 1) == "/" ? out : home "/" out
      }
      {
        count = split($0, words, / /)
        if (count > 50) count = 50
        for (first = 1; first <= count; first++) {
          name = ""
          for (last = first; last <= count; last++) {
            name = name (last > first ? " " : "") words[last]
            if (words[first] != "" && words[last] != "" && name != "none") print expanded(name)
          }
        }
      }' | while IFS= read -r path; do if [ -e "$path" ]; then printf '%s\n' "$path"; fi; done
}

# has FILE BLOBS: whether one of them is in it.
has() { [ -n "$2" ] && tr -d '\r\f\v' <"$1" 2>/dev/null | grep -Fq -e "$2"; }

rules=
if [ -z "$sshd" ]; then
  section problem 'no sshd was found to print its rules'
elif rules=$(effective "$user" 2>&1); then
  section rules
  printf '%s\n' "$rules" | data
  effective "$user" traced 2>&1 >/dev/null | tr -d '\r' | sed -n "s/.*checking match for '\(.*\)' user .*/\1/p" | sort -u | head -n 50 |
    while IFS= read -r criteria; do section match "$user $criteria"; done
else
  section problem "sshd -T: $(printf '%s\n' "$rules" | tail -n 1 | tr -d '\r')"
  rules=
fi

entry=$(accounts | awk -F : -v user="$user" '$1 == user { print; exit }')
home=$(printf '%s\n' "$entry" | cut -d : -f 6)
uid=$(printf '%s\n' "$entry" | cut -d : -f 3)
[ -n "$entry" ] || section problem "there is no user $user"
if [ -d "$home" ]; then section home "$home"; fi
if [ -e "$home/.ssh/rc" ]; then section rc "$home/.ssh/rc"; fi
if [ -e /etc/ssh/sshrc ]; then section rc /etc/ssh/sshrc; fi

files "$user" "$home" "$uid" "$rules" | while IFS= read -r path; do
  if [ -f "$path" ] && [ -r "$path" ]; then
    section keys "$path"
    # The last line may have no end.
    { head -c MAX_FILE "$path" && echo; } | data
    if [ "$(wc -c <"$path")" -gt MAX_FILE ]; then section problem "$path is larger than MAX_FILE bytes"; fi
  elif [ -e "$path" ]; then
    section unreadable "$path"
  fi
done

# Which principals an account takes may be anything that a file or a program says.
if [ -n "$rules" ] && [ -n "$blobs$authorities" ]; then
  accounts | head -n MAX_ACCOUNTS | while IFS=: read -r name _ number _ _ folder _; do
    [ "$name" != "$user" ] || continue
    own=$(effective "$name" 2>/dev/null) || continue
    if printf '%s\n' "$own" | grep '^authorizedkeyscommand ' | grep -qv ' none$'; then
      section problem 'keys of other accounts come from authorizedkeyscommand, too'
    fi
    trusted=$(printf '%s\n' "$own" | sed -n 's/^trustedusercakeys //p')
    if [ -n "$authorities" ] && [ -n "$trusted" ] && [ "$trusted" != none ]; then
      if [ ! -r "$trusted" ]; then
        section problem "$trusted could not be read, whose authorities other accounts trust"
      elif has "$trusted" "$authorities"; then
        section problem "other accounts trust the authority of the tunnel's certificate (TrustedUserCAKeys $trusted)"
      fi
    fi
    files "$name" "$folder" "$number" "$own" | while IFS= read -r path; do
      [ -f "$path" ] || continue
      if has "$path" "$blobs"; then section other "$name" "$path"; fi
      if has "$path" "$authorities"; then section problem "$name may trust the authority of the tunnel's certificate ($path)"; fi
    done
  done
  section accounts "$(accounts | wc -l | tr -d ' ')"
fi
section end
`
  .trim()
  .replaceAll('MAX_FILE', String(MAX_FILE_BYTES))
  .replace('MAX_ACCOUNTS', String(MAX_ACCOUNTS));

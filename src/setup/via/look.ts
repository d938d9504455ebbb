import { FIND_WAY_TO_ROOT, type WayToRoot } from '../../connection/route/root-shell.ts';
import { shellQuote } from '../../lib/shell-quote.ts';
import { printable } from '../../lib/text.ts';
import { KEYS_FOLDER, SPARE_FILE } from '../../server-rules/server-setup.ts';
import { PATHS } from '../script/head.ts';
import { spareKeyIn } from '../script/spare-host-key.ts';
import { DEFAULT_RANGE, type PortFacts, type PromisedPort, RANGE_FILE, readRange } from './ports.ts';

/** What a login of an administrator sees of the server before anything is changed there. */
export interface ServerLook extends PortFacts {
  readonly system: 'linux' | 'macos' | 'nixos' | 'other';
  /** How this login becomes root. */
  readonly root: WayToRoot;
  /** The user that the tunnel is to log in as. */
  readonly user: ServerUser | null;
  /** A name like the user's that no user of the server has; empty where none was found. */
  readonly freeName: string;
  /** Its spare host key; null where it has none yet. */
  readonly spare: Buffer | null;
}

interface ServerUser {
  readonly uid: number;
  readonly shell: string;
  /** The lines of authorized_keys that it was set up with by server-setup; null where it was not. */
  readonly setUpFor: readonly string[] | null;
}

/** A script that only reads. It needs no rights beyond those of any user; its answer is for readLook(). */
export function lookScript(user: string): string {
  return [
    PATHS,
    FIND_WAY_TO_ROOT,
    `user=${shellQuote(user)}`,
    `folder=${shellQuote(KEYS_FOLDER)}`,
    `range=${RANGE_FILE}`,
    `spare=${SPARE_FILE}`,
    SCRIPT,
    '',
  ].join('\n');
}

/** A command for any login shell. */
export const LOOK = 'sh -s';

const SCRIPT = String.raw`
say() { printf '%s\t%s\n' "$1" "$(printf '%s' "$2" | tr '\n\t' '  ')"; }
passwd() { if command -v getent >/dev/null 2>&1; then getent passwd "$1"; else dscl . -read "/Users/$1" UniqueID 2>/dev/null; fi; }
if [ -e /etc/NIXOS ]; then say system NixOS; else say system "$(uname -s)"; fi
say root "$root"
entry=$(passwd "$user") || entry=
if [ -n "$entry" ]; then
  say user "$entry"
  number=2
  while [ "$number" -lt 100 ] && passwd "$user$number" >/dev/null; do number=$((number + 1)); done
  say free "$user$number"
fi
if [ -e "$folder/$user" ]; then
  say ours yes
  while IFS= read -r line; do say line "$line"; done <"$folder/$user"
fi
for file in "$folder"/*; do
  case $file in *.tunneld-new) continue ;; esac
  [ -f "$file" ] && [ -r "$file" ] || continue
  grep -o 'permitlisten="[^"]*"' "$file" | sort -u | while IFS= read -r one; do
    say promised "$(basename "$file") $one"
  done
done
if command -v ss >/dev/null 2>&1; then ss -ltn | awk '{ print $4 }'
else netstat -an 2>/dev/null | awk 'toupper($0) ~ /LISTEN/ && /^tcp/ { print $4 }'
fi | sed -n 's/.*[:.]\([0-9][0-9]*\)$/\1/p' | sort -un | while read -r port; do say listening "$port"; done
if [ -r "$range" ]; then say range "$(head -n 1 "$range")"; fi
if [ -e "$spare" ] && [ -r "$spare.pub" ]; then say spare "$(cut -d ' ' -f 1,2 "$spare.pub")"; fi
say end
`.trim();

/** Null where the answer is not whole: a login shell that runs no command, for example. */
export function readLook(text: string, user: string): ServerLook | null {
  const lines = text.split('\n').map((line) => {
    const at = line.indexOf('\t');
    return { key: line.slice(0, at), value: line.slice(at + 1) };
  });
  const all = (key: string) => lines.filter((line) => line.key === key).map(({ value }) => value);
  const one = (key: string) => all(key)[0] ?? null;
  if (one('end') === null) return null;
  const root = one('root');
  return {
    system: SYSTEMS[one('system') ?? ''] ?? 'other',
    root: root === 'is' || root === 'free' || root === 'asks' ? root : 'never',
    user: readUser(one('user'), one('ours') === null ? null : all('line')),
    freeName: /^[A-Za-z_][A-Za-z0-9_.-]{0,31}$/.test(one('free') ?? '') ? one('free')! : `${user.slice(0, 28)}2`,
    promised: all('promised').flatMap(readPromise),
    listening: all('listening').map(Number).filter(Number.isInteger),
    spare: spareKeyIn(one('spare') ?? ''),
    range: readRange(one('range') ?? '') ?? DEFAULT_RANGE,
  };
}

const SYSTEMS: Readonly<Record<string, ServerLook['system']>> = { Linux: 'linux', Darwin: 'macos', NixOS: 'nixos' };

/** A line of passwd(5), or what dscl prints. */
function readUser(entry: string | null, setUpFor: readonly string[] | null): ServerUser | null {
  if (entry === null) return null;
  const fields = entry.split(':');
  return { uid: Number(fields[2] ?? -1), shell: printable(fields[6] ?? '', 60), setUpFor };
}

/** `USER permitlisten="HOST:PORT"`. */
function readPromise(text: string): PromisedPort[] {
  const [, user = '', host = '*', port] = /^(\S+) permitlisten="(?:(.*):)?(\d+)"$/.exec(text) ?? [];
  return port === undefined ? [] : [{ user: printable(user, 40), host: printable(host, 60), port: Number(port) }];
}

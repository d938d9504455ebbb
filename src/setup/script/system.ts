/** What differs from one system to the next, as functions of sh. */
export interface System {
  /** Where a script remembers what it made. */
  readonly state: string;
  /** check_user, make_user, unmake_user, restore_password: called in this order, or from the end. */
  readonly user: string;
  /** reload_sshd. */
  readonly reload: string;
}

const LINUX_USER = String.raw`
exists() { getent passwd "$user" >/dev/null; }
# shadow_field NUMBER (shadow(5)): 2 is the password, 3 the day of its last change.
shadow_field() { awk -F : -v user="$user" -v number="$1" '$1 == user { print $number }' /etc/shadow; }

# Our limits on somebody who logs in for other reasons would lock them out.
check_user() {
  exists || return 0
  [ "$(id -u "$user")" != 0 ] || die "$user is root, and would be locked out: give the tunnel a user of its own"
  case $(getent passwd "$user" | cut -d : -f 7) in
    */nologin | */false) ;;
    *) die "the user $user exists and has a shell, and would be locked out: give the tunnel a user of its own (or, if nobody logs in as $user: usermod --shell /usr/sbin/nologin $user)" ;;
  esac
  case $(shadow_field 2) in
    '!'* | '*'*) ;;
    '') die "the user $user exists and has no password field in /etc/shadow that keeps people out: give the tunnel a user of its own" ;;
    *) die "the user $user exists and has a password: give the tunnel a user of its own" ;;
  esac
  home=$(getent passwd "$user" | cut -d : -f 6)
  for file in "$home/.ssh/authorized_keys" "$home/.ssh/authorized_keys2"; do
    [ -f "$file" ] || continue
    if grep -Ev '^[[:space:]]*(#|$)' "$file" | grep -Fvq -f "$work/keys"; then
      die "$file holds other keys, which could no longer log in: give the tunnel a user of its own"
    fi
  done
}

# A password of "*" is none that anybody can type. An "!" before it would lock the account, keys included, where sshd does not
# use PAM (platform_locked_account in OpenSSH's platform.c), and an empty field would let everybody in.
make_user() {
  if ! exists; then
    for shell in /usr/sbin/nologin /sbin/nologin /usr/bin/nologin /usr/bin/false /bin/false; do
      [ -x "$shell" ] && break
    done
    [ -x "$shell" ] || die 'there is neither nologin nor false on this machine'
    command -v useradd >/dev/null || die 'there is no useradd on this machine: make the user yourself, with nologin as its shell'
    : >"$state/user-made"
    useradd --system --user-group --no-create-home --home-dir /nonexistent --shell "$shell" --password '*' \
      --comment 'SSH tunnel' "$user"
    changed=yes
    say "made the user $user: no shell, no password, no home directory"
  fi
  field=$(shadow_field 2)
  case $field in
    '!'*)
      (umask 077 && printf '%s\n' "$field" >"$state/password-was" && shadow_field 3 >"$state/password-day")
      usermod --password '*' "$user"
      changed=yes
      say "the account $user was locked (!): it has no usable password now (*)"
      ;;
  esac
}

restore_password() {
  [ -e "$state/password-was" ] || return 0
  usermod --password "$(cat "$state/password-was")" "$user"
  day=$(cat "$state/password-day")
  [ -n "$day" ] || day=-1
  chage --lastday "$day" "$user"
}

# Of all that has this user's number only what is sshd's: the user of a container may have the same.
end_connections() {
  for folder in $(find /proc -maxdepth 1 -name '[0-9]*' -user "$user" 2>/dev/null); do
    if grep -q "^sshd[a-z-]*: $user" "$folder/cmdline" 2>/dev/null; then kill "$(basename "$folder")" 2>/dev/null || :; fi
  done
}

# userdel refuses while a connection is open, and a connection should not outlive its user. Where logins are sessions of systemd, the
# user's manager would outlive it for some seconds (UserStopDelaySec, logind.conf(5)).
unmake_user() {
  if [ ! -e "$state/user-made" ] || ! exists; then return 0; fi
  tries=0
  until end_connections && userdel "$user" 2>"$work/userdel"; do
    loginctl terminate-user "$user" >/dev/null 2>&1 || :
    tries=$((tries + 1))
    if [ "$tries" = 50 ]; then
      cat "$work/userdel" >&2
      return 1
    fi
    sleep 0.1
  done
}
`.trim();

/** A signal is enough for sshd to read its files again, with every connection kept (sshd(8)); each way here ends in one. */
const LINUX_RELOAD = String.raw`
reload_sshd() {
  if [ -d /run/systemd/system ]; then
    for unit in ssh sshd; do
      systemctl --quiet is-active "$unit.service" || continue
      systemctl reload "$unit.service" || return 1
      say "reloaded $unit.service"
      return 0
    done
  fi
  pidfile=$("$sshd" -T -C "$connection" | awk '$1 == "pidfile" { print $2 }')
  if [ -f "$pidfile" ] && pid=$(cat "$pidfile") && [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; then
    kill -HUP "$pid" || return 1
    sleep 1
    kill -0 "$pid" 2>/dev/null || return 1
    say "sent SIGHUP to sshd ($pid)"
    return 0
  fi
  for name in ssh sshd; do
    if [ -x "/etc/init.d/$name" ] && command -v service >/dev/null && service "$name" status >/dev/null 2>&1; then
      service "$name" reload || return 1
      say "reloaded the service $name"
      return 0
    fi
  done
  say 'no running sshd was found to reload: what is new holds from its next start, or its next connection where it is started for each'
}
`.trim();

export const LINUX: System = { state: '/var/lib/tunneld-server', user: LINUX_USER, reload: LINUX_RELOAD };

const MACOS_USER = String.raw`
exists() { dscl . -read "/Users/$user" UniqueID >/dev/null 2>&1; }

check_user() {
  if exists; then die "the user $user exists: give the tunnel a user of its own"; fi
}

# The lowest free number of those that macOS hides from its login window. A password of "*" is none that anybody can type.
make_user() {
  exists && return 0
  uid=300
  while dscl . -list /Users UniqueID | awk '{ print $2 }' | grep -qx "$uid"; do uid=$((uid + 1)); done
  : >"$state/user-made"
  dscl . -create "/Users/$user"
  dscl . -create "/Users/$user" UniqueID "$uid"
  dscl . -create "/Users/$user" PrimaryGroupID -2
  dscl . -create "/Users/$user" UserShell /usr/bin/false
  dscl . -create "/Users/$user" NFSHomeDirectory /var/empty
  dscl . -create "/Users/$user" RealName 'SSH tunnel'
  dscl . -create "/Users/$user" IsHidden 1
  dscl . -create "/Users/$user" Password '*'
  # Where Remote Login is not for all users, it is for this group.
  if dscl . -read /Groups/com.apple.access_ssh >/dev/null 2>&1; then
    dseditgroup -o edit -a "$user" -t user com.apple.access_ssh
  fi
  changed=yes
  say "made the user $user: no shell, no password, no home directory"
}

restore_password() { :; }

unmake_user() {
  if [ ! -e "$state/user-made" ] || ! exists; then return 0; fi
  pkill -U "$user" || :
  if dscl . -read /Groups/com.apple.access_ssh >/dev/null 2>&1; then
    dseditgroup -o edit -d "$user" -t user com.apple.access_ssh || :
  fi
  dscl . -delete "/Users/$user"
}
`.trim();

/** launchd starts an sshd for each connection, which reads its files anew. */
const MACOS_RELOAD = String.raw`
reload_sshd() {
  launchctl print system/com.openssh.sshd >/dev/null 2>&1 ||
    say 'Remote Login is off: System Settings, General, Sharing (or: sudo systemsetup -setremotelogin on)'
}
`.trim();

export const MACOS: System = { state: '/var/db/tunneld-server', user: MACOS_USER, reload: MACOS_RELOAD };

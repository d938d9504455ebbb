/** Functions of sh that depend on the operating system. */
export interface System {
  /** The folder in which the scripts record what they made. */
  readonly state: string;
  /** check_user, make_user, unmake_user, restore_password. */
  readonly user: string;
  /** reload_sshd. */
  readonly reload: string;
}

const LINUX_USER = String.raw`
exists() { getent passwd "$user" >/dev/null; }
# shadow_field NUMBER (shadow(5)): 2 is the password, 3 the day of its last change.
shadow_field() { awk -F : -v user="$user" -v number="$1" '$1 == user { print $number }' /etc/shadow; }

# Refuses a user that logs in for other purposes: our limits would lock it out.
check_user() {
  exists || return 0
  [ "$(id -u "$user")" != 0 ] || die "$user is root, and would be locked out: use another user for the tunnel"
  case $(getent passwd "$user" | cut -d : -f 7) in
    */nologin | */false) ;;
    *) die "the user $user has a shell, and would be locked out: use another user for the tunnel (or, if $user is not used for logins: usermod --shell /usr/sbin/nologin $user)" ;;
  esac
  case $(shadow_field 2) in
    '!'* | '*'*) ;;
    '') die "the password of the user $user is empty in /etc/shadow: use another user for the tunnel" ;;
    *) die "the user $user has a password: use another user for the tunnel" ;;
  esac
  home=$(getent passwd "$user" | cut -d : -f 6)
  for file in "$home/.ssh/authorized_keys" "$home/.ssh/authorized_keys2"; do
    [ -f "$file" ] || continue
    if grep -Ev '^[[:space:]]*(#|$)' "$file" | grep -Fvq -f "$work/keys"; then
      die "$file holds other keys, which would be locked out: use another user for the tunnel"
    fi
  done
}

# No password matches "*". An "!" would lock the account, keys included, where sshd does not use PAM (platform_locked_account in
# OpenSSH's platform.c), and an empty field would allow logins without a password.
make_user() {
  if ! exists; then
    for shell in /usr/sbin/nologin /sbin/nologin /usr/bin/nologin /usr/bin/false /bin/false; do
      [ -x "$shell" ] && break
    done
    [ -x "$shell" ] || die 'neither nologin nor false was found on this machine'
    command -v useradd >/dev/null || die 'useradd not found on this machine: create the user yourself, with nologin as its shell'
    : >"$state/user-made"
    useradd --system --user-group --no-create-home --home-dir /nonexistent --shell "$shell" --password '*' \
      --comment 'SSH tunnel' "$user"
    changed=yes
    say "created the user $user: no shell, no password, no home directory"
  fi
  field=$(shadow_field 2)
  case $field in
    '!'*)
      # The first of them last: it says that both are there.
      (umask 077 && shadow_field 3 >"$state/password-day" && printf '%s\n' "$field" >"$state/password-was")
      sync "$state/password-day" "$state/password-was"
      usermod --password '*' "$user"
      changed=yes
      say "unlocked the account $user (!): it still has no usable password (*)"
      ;;
  esac
}

restore_password() {
  [ -e "$state/password-was" ] || return 0
  # Where a loss of power or a full disk has left it empty, that would be an account without a password.
  case $(cat "$state/password-was") in
    '!'*) ;;
    *)
      say "the account $user stays unlocked, without a usable password (*): what it had was lost"
      return 0
      ;;
  esac
  usermod --password "$(cat "$state/password-was")" "$user"
  day=$(cat "$state/password-day")
  [ -n "$day" ] || day=-1
  chage --lastday "$day" "$user"
}

# Only processes of sshd: the user of a container may have the same number.
end_connections() {
  for folder in $(find /proc -maxdepth 1 -name '[0-9]*' -user "$user" 2>/dev/null); do
    if grep -q "^sshd[a-z-]*: $user" "$folder/cmdline" 2>/dev/null; then kill "$(basename "$folder")" 2>/dev/null || :; fi
  done
}

# userdel fails while a connection is open, so connections are ended first. Where logins are sessions of systemd, the user's manager
# would run on for some seconds (UserStopDelaySec, logind.conf(5)).
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

/** On SIGHUP, sshd reads its files again and keeps its connections (sshd(8)); each of these commands sends one. */
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
  say 'no running sshd was found: the changes apply from its next start, or its next connection where it is started for each'
}
`.trim();

export const LINUX: System = { state: '/var/lib/tunneld-server', user: LINUX_USER, reload: LINUX_RELOAD };

const MACOS_USER = String.raw`
exists() { dscl . -read "/Users/$user" UniqueID >/dev/null 2>&1; }

check_user() {
  if exists; then die "the user $user exists: use another user for the tunnel"; fi
}

# The lowest free number of those that macOS hides from its login window. No password matches "*".
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
  # Remote Login may be limited to this group.
  if dscl . -read /Groups/com.apple.access_ssh >/dev/null 2>&1; then
    dseditgroup -o edit -a "$user" -t user com.apple.access_ssh
  fi
  changed=yes
  say "created the user $user: no shell, no password, no home directory"
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

/** launchd starts an sshd for each connection, which reads the files. */
const MACOS_RELOAD = String.raw`
reload_sshd() {
  launchctl print system/com.openssh.sshd >/dev/null 2>&1 ||
    say 'Remote Login is off: turn it on in System Settings, General, Sharing (or: sudo systemsetup -setremotelogin on)'
}
`.trim();

export const MACOS: System = { state: '/var/db/tunneld-server', user: MACOS_USER, reload: MACOS_RELOAD };

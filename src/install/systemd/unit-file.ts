/** What depends on the machine. */
export interface UnitOptions {
  /** The part of the command lines before `run` and `check`, escaped by execWords(). */
  readonly program: string;
  readonly systemd: number;
}

/** The unit of the system's service. systemd/tunnel.service is the one for USUAL_UNIT. */
export function systemUnit({ program, systemd }: UnitOptions): string {
  return `# Keeps the SSH tunnels of /etc/tunneld/config.yaml up. \`sudo tunneld install\` installs this unit.
[Unit]
Description=SSH tunnels (tunneld)
# Not network-online.target: tunneld waits for the network itself, and reports it in its status.
After=network.target
# Never give up: the tunnel is often the only way to reach this machine.
StartLimitIntervalSec=0

[Service]
ExecStart=${program} run
# An invalid file is not applied, and systemctl reload fails with its errors.
ExecReload=${program} check
# As root, copy changed keys: systemd loads credentials only at a start.
ExecReload=-+${program} reload --keys-only
ExecReload=/bin/sh -c 'kill -HUP $MAINPID'
ExecStopPost=-+/bin/rm -rf /run/tunneld-keys
# Type=notify-reload exists since 253; 252 would silently fall back to Type=simple.
Type=notify
${notifyLines(systemd)}${SUPERVISION}# When memory runs out, the kernel kills other processes first.
OOMScoreAdjust=-500
# No private key in a core dump.
LimitCORE=0

User=tunneld
Environment=HOME=/var/lib/tunneld
ConfigurationDirectory=tunneld
ConfigurationDirectoryMode=0750
# Keys are readable by root only: at every start, systemd gives copies to the service (LoadCredential=). After changing a key:
# systemctl reload tunnel.
LoadCredential=etc:/etc/tunneld
StateDirectory=tunneld
StateDirectoryMode=0700
# Members of the group tunneld may run \`tunneld status\`.
RuntimeDirectory=tunneld
RuntimeDirectoryMode=0750
UMask=0077

# The sandbox. Three settings are left out: MemoryDenyWriteExecute=yes breaks Node's compiler, ProcSubset=pid hides the processor
# features by which ciphers are chosen, and PrivateUsers=yes takes away the right to ping.
NoNewPrivileges=yes
AmbientCapabilities=CAP_NET_RAW
CapabilityBoundingSet=CAP_NET_RAW
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
# ping drops its privileges with these.
SystemCallFilter=capset @setuid
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
PrivateMounts=yes
DevicePolicy=closed
ProtectProc=invisible
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
LockPersonality=yes
RemoveIPC=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes

[Install]
WantedBy=multi-user.target
`;
}

/** The unit of a user's own service, for a configuration in the user's home. */
export function userUnit({ program, systemd }: UnitOptions): string {
  const file = '%h/.config/tunneld/config.yaml';
  return `# Keeps the SSH tunnels of ~/.config/tunneld/config.yaml up. \`tunneld install --user\` installs this unit.
[Unit]
Description=SSH tunnels (tunneld)
StartLimitIntervalSec=0

[Service]
ExecStart=${program} run --config ${file}
# An invalid file is not applied, and systemctl --user reload fails with its errors.
ExecReload=${program} check --config ${file}
ExecReload=/bin/sh -c 'kill -HUP $MAINPID'
Type=notify
# Notifications are sent by a child process, systemd-notify.
NotifyAccess=all
${systemd >= 253 ? JOURNAL_LINES : ''}${SUPERVISION}LimitCORE=0
UMask=0077

# The part of the sandbox that needs no root.
NoNewPrivileges=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service capset @setuid
LockPersonality=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes

[Install]
WantedBy=default.target
`;
}

/** The options of systemd/tunnel.service. */
export const USUAL_UNIT: UnitOptions = { program: '/usr/local/bin/tunneld', systemd: 252 };

/** LoadCredential= takes a directory since this version; all other settings are older. */
export const OLDEST_SYSTEMD = 251;

const SUPERVISION = `WatchdogSec=60
Restart=always
RestartSec=2
# EX_CONFIG: the configuration is invalid; a restart would not help.
RestartPreventExitStatus=78
# SIGTERM for tunneld only, which ends its proxy commands after their connections.
KillMode=mixed
TimeoutStopSec=15
SyslogIdentifier=tunneld
`;

function notifyLines(systemd: number): string {
  if (systemd >= 253) {
    return `# The daemon notifies systemd through an inherited descriptor: no child process has to be trusted.
OpenFile=/run/systemd/notify:notify
NotifyAccess=main
${JOURNAL_LINES}`;
  }
  return `# Notifications are sent by a child process, systemd-notify. Since 253 the first two settings avoid the child, and the third one gives the
# log's entries fields; 252 warns about them:
#   OpenFile=/run/systemd/notify:notify
#   NotifyAccess=main
#   OpenFile=/run/systemd/journal/socket:journal:graceful
NotifyAccess=all
`;
}

/** Where there is no such socket, the service starts without it. */
const JOURNAL_LINES = `# Entries of the log have fields, such as TUNNEL=.
OpenFile=/run/systemd/journal/socket:journal:graceful
`;

/** Escapes the words of a command line for ExecStart=, so that none is read as a variable or a specifier (systemd.service(5)). */
export function execWords(words: readonly string[]): string {
  return words
    .map((word) => {
      const text = word.replaceAll('%', '%%').replaceAll('$', '$$$$').replaceAll('\\', '\\\\').replaceAll('"', '\\"');
      return /^[\w@%+=:,./$-]+$/.test(text) ? text : `"${text}"`;
    })
    .join(' ');
}

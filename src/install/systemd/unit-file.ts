/** What of a unit depends on the machine. */
export interface UnitOptions {
  /** What comes before `run` and `check` in the command lines, as systemd is to read it: see execWords(). */
  readonly program: string;
  /** The version of the systemd that will read it. */
  readonly systemd: number;
}

/** The system's service. systemd/tunnel.service of the sources is what this makes for USUAL_UNIT. */
export function systemUnit({ program, systemd }: UnitOptions): string {
  return `# Keeps the SSH tunnels of /etc/tunneld/config.yaml up. \`sudo tunneld install\` puts it in place.
[Unit]
Description=SSH tunnels (tunneld)
# Not network-online.target: tunneld itself waits for the network, and must be there to say so.
After=network.target
# Never give up: this is often the only way to reach the machine.
StartLimitIntervalSec=0

[Service]
ExecStart=${program} run
# A file that is not valid is not applied, and systemctl reload says so.
ExecReload=${program} check
# New keys, as root: systemd itself hands them over at a start alone.
ExecReload=-+${program} reload --keys-only
ExecReload=/bin/sh -c 'kill -HUP $MAINPID'
ExecStopPost=-+/bin/rm -rf /run/tunneld-keys
# Type=notify-reload exists from 253 on; 252 would silently take it for Type=simple.
Type=notify
${notifyLines(systemd)}${SUPERVISION}# When memory runs out, others go first.
OOMScoreAdjust=-500
# No private key in a core dump.
LimitCORE=0

User=tunneld
Environment=HOME=/var/lib/tunneld
ConfigurationDirectory=tunneld
ConfigurationDirectoryMode=0750
# Keys belong to root alone: systemd reads them at every start and hands copies to the service. After a new key:
# systemctl reload tunnel.
LoadCredential=etc:/etc/tunneld
StateDirectory=tunneld
StateDirectoryMode=0700
# Who is in the group tunneld may ask for the status.
RuntimeDirectory=tunneld
RuntimeDirectoryMode=0750
UMask=0077

# The sandbox. Nothing of it may be missing without a reason, and these three are left out for one:
# MemoryDenyWriteExecute=yes stops Node's compiler, ProcSubset=pid hides the processor's features, by which ciphers are
# chosen, and PrivateUsers=yes takes away the right to ping.
NoNewPrivileges=yes
AmbientCapabilities=CAP_NET_RAW
CapabilityBoundingSet=CAP_NET_RAW
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
# ping gives up its privileges with these.
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

/** One user's own service, on a configuration in the user's home. */
export function userUnit({ program }: Pick<UnitOptions, 'program'>): string {
  const file = '%h/.config/tunneld/config.yaml';
  return `# Keeps the SSH tunnels of ~/.config/tunneld/config.yaml up. \`tunneld install --user\` puts it in place.
[Unit]
Description=SSH tunnels (tunneld)
StartLimitIntervalSec=0

[Service]
ExecStart=${program} run --config ${file}
# A file that is not valid is not applied, and systemctl --user reload says so.
ExecReload=${program} check --config ${file}
ExecReload=/bin/sh -c 'kill -HUP $MAINPID'
Type=notify
# Messages come from the program systemd-notify, a child.
NotifyAccess=all
${SUPERVISION}LimitCORE=0
UMask=0077

# What a user may take from himself. The rest of the system service's sandbox needs root.
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

/** What the unit in the sources is made for. */
export const USUAL_UNIT: UnitOptions = { program: '/usr/local/bin/tunneld', systemd: 252 };

/** The first systemd whose LoadCredential= takes a directory; everything else in the unit is older. */
export const OLDEST_SYSTEMD = 251;

const SUPERVISION = `WatchdogSec=60
Restart=always
RestartSec=2
# EX_CONFIG: the configuration is invalid, and starting again would not make it valid.
RestartPreventExitStatus=78
# SIGTERM for tunneld alone, which ends its proxy commands after their connections.
KillMode=mixed
TimeoutStopSec=15
SyslogIdentifier=tunneld
`;

function notifyLines(systemd: number): string {
  if (systemd >= 253) {
    return `# The daemon speaks to systemd through a descriptor that it is given: no child needs to be trusted.
OpenFile=/run/systemd/notify:notify
NotifyAccess=main
`;
  }
  return `# Messages come from the program systemd-notify, a child. From 253 on this pair does without it, and 252 warns about it:
#   OpenFile=/run/systemd/notify:notify
#   NotifyAccess=main
NotifyAccess=all
`;
}

/** Words of a command line as ExecStart= takes them: nothing in them is a variable or a specifier (systemd.service(5)). */
export function execWords(words: readonly string[]): string {
  return words
    .map((word) => {
      const text = word.replaceAll('%', '%%').replaceAll('$', '$$$$').replaceAll('\\', '\\\\').replaceAll('"', '\\"');
      return /^[\w@%+=:,./$-]+$/.test(text) ? text : `"${text}"`;
    })
    .join(' ');
}

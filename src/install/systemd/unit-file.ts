import { readFileSync } from 'node:fs';

/** What depends on the machine. */
export interface UnitOptions {
  /** The part of the command lines before `run` and `check`, escaped by execWords(). */
  readonly program: string;
  readonly systemd: number;
}

/** The unit of the system's service: systemd/tunnel.service, fitted to the machine. */
export function systemUnit({ program, systemd }: UnitOptions): string {
  const unit = SHIPPED.replaceAll(USUAL_UNIT.program, () => program);
  return systemd < 253 ? unit : unit.replace(NOTIFIED_BY_A_CHILD, NOTIFIED_BY_DESCRIPTOR);
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

/** Defined by the bundler. */
declare const TUNNELD_UNIT: string | undefined;
const SHIPPED =
  typeof TUNNELD_UNIT === 'string'
    ? TUNNELD_UNIT
    : readFileSync(new URL('../../../systemd/tunnel.service', import.meta.url), 'utf8');

/** How it is watched and restarted, which a user's own is, too. */
const [SUPERVISION] = /^WatchdogSec=[^]*?^SyslogIdentifier=.*\n/m.exec(SHIPPED)!;

/** Where there is no such socket, the service starts without it. */
const JOURNAL_LINES = `# Entries of the log have fields, such as TUNNEL=.
OpenFile=/run/systemd/journal/socket:journal:graceful
`;

const NOTIFIED_BY_A_CHILD = /^# Notifications are sent by a child process[^]*?^NotifyAccess=all\n/m;
const NOTIFIED_BY_DESCRIPTOR = `# The daemon notifies systemd through an inherited descriptor: no child process has to be trusted.
OpenFile=/run/systemd/notify:notify
NotifyAccess=main
${JOURNAL_LINES}`;

/** Escapes the words of a command line for ExecStart=, so that none is read as a variable or a specifier (systemd.service(5)). */
export function execWords(words: readonly string[]): string {
  return words
    .map((word) => {
      const text = word.replaceAll('%', '%%').replaceAll('$', '$$$$').replaceAll('\\', '\\\\').replaceAll('"', '\\"');
      return /^[\w@%+=:,./$-]+$/.test(text) ? text : `"${text}"`;
    })
    .join(' ');
}

import { dirname, join } from 'node:path';
import type { Account } from './account.ts';

/** A service of launchd, with the paths of all that belongs to it. */
export interface LaunchdService {
  /** The domain of launchd: `system` or `gui/UID` (launchctl(1)). */
  readonly domain: string;
  /** `DOMAIN/LABEL`. */
  readonly target: string;
  readonly plist: string;
  /** A daemon of the system, or an agent of one user's session. */
  readonly kind: 'daemon' | 'agent';
  readonly account: Account;
  /** Absolute paths that do not change when Node or tunneld is updated. */
  readonly node: string;
  readonly program: string;
  readonly config: string;
  readonly logDirectory: string;
  /** For state and control socket; null leaves both to the daemon's defaults. */
  readonly stateDirectory: string | null;
}

export type LaunchdOptions = Pick<LaunchdService, 'kind' | 'account' | 'node' | 'program' | 'config'>;

/** What loading and unloading needs of a service, or of another job. */
export type LaunchdJob = Pick<LaunchdService, 'domain' | 'target' | 'plist' | 'kind' | 'account'>;

export const LABEL = 'dev.tunneld.tunneld';

export function launchdService(options: LaunchdOptions): LaunchdService {
  const { home, uid } = options.account;
  if (options.kind === 'agent') {
    const domain = `gui/${uid}`;
    return {
      ...options,
      domain,
      target: `${domain}/${LABEL}`,
      plist: join(home, 'Library/LaunchAgents', `${LABEL}.plist`),
      logDirectory: join(home, 'Library/Logs/tunneld'),
      stateDirectory: null,
    };
  }
  return {
    ...options,
    domain: 'system',
    target: `system/${LABEL}`,
    plist: `/Library/LaunchDaemons/${LABEL}.plist`,
    logDirectory: '/var/log/tunneld',
    stateDirectory: '/var/db/tunneld',
  };
}

/** The directories that have to belong to the account, files included: root (`sudo tunneld init`) or another account may have made them. */
export function ownDirectories({
  kind,
  config,
  stateDirectory,
  logDirectory,
}: LaunchdService): readonly { readonly path: string; readonly mode: number }[] {
  const usual = kind === 'daemon' && dirname(config) === CONFIG_DIRECTORY;
  return [
    ...(usual ? [{ path: CONFIG_DIRECTORY, mode: 0o755 }] : []),
    ...(stateDirectory === null ? [] : [{ path: stateDirectory, mode: 0o700 }]),
    { path: logDirectory, mode: 0o700 },
  ];
}

/** Only this directory is ours; elsewhere the owner is kept. */
const CONFIG_DIRECTORY = '/usr/local/etc/tunneld';

/** The environment of the daemon, as the plist sets it. */
export function serviceEnvironment(service: LaunchdService): Readonly<Record<string, string>> {
  const { account, logDirectory, stateDirectory } = service;
  return {
    PATH: '/usr/local/bin:/opt/homebrew/bin:/usr/bin:/bin:/usr/sbin:/sbin',
    // launchd sets it for agents only; commands that the daemon starts (proxyCommand) need it.
    HOME: account.home,
    // systemd's names, so that the defaults of both kinds of service are in one place (src/config/input/paths.ts).
    ...(stateDirectory === null ? {} : { STATE_DIRECTORY: stateDirectory, RUNTIME_DIRECTORY: stateDirectory }),
    TUNNELD_LOG_FILE: join(logDirectory, 'tunneld.log'),
    TUNNELD_WATCHDOG: '60',
  };
}

/** The file for what is printed before the log is open, and for a crash of Node. */
export function crashLog({ logDirectory }: LaunchdService): string {
  return join(logDirectory, 'launchd.log');
}

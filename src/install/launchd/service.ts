import { dirname, join } from 'node:path';
import type { Account } from './account.ts';

/** What is to be a service of launchd, and where all that belongs to it is. */
export interface LaunchdService {
  /** `system`, or `gui/UID`: whose launchd it is (launchctl(1)). */
  readonly domain: string;
  /** `DOMAIN/LABEL`. */
  readonly target: string;
  readonly plist: string;
  /** A daemon, of the system, or an agent of one user's session. */
  readonly kind: 'daemon' | 'agent';
  readonly account: Account;
  /** Absolute paths that stay the same when Node or tunneld is updated. */
  readonly node: string;
  readonly program: string;
  readonly config: string;
  readonly logDirectory: string;
  /** Where the daemon keeps its state and its control socket; null where its own defaults do. */
  readonly stateDirectory: string | null;
}

export type LaunchdOptions = Pick<LaunchdService, 'kind' | 'account' | 'node' | 'program' | 'config'>;

export const LABEL = 'dev.tunneld.tunneld';

/** Everything of the service that follows from what is wanted. */
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

/** Directories that belong to the account, with all files in them: root may have made them (`sudo tunneld init`), or another account. */
export function ownDirectories({
  kind,
  config,
  stateDirectory,
  logDirectory,
}: LaunchdService): readonly OwnDirectory[] {
  const usual = kind === 'daemon' && dirname(config) === CONFIG_DIRECTORY;
  return [
    ...(usual ? [{ path: CONFIG_DIRECTORY, mode: 0o755 }] : []),
    ...(stateDirectory === null ? [] : [{ path: stateDirectory, mode: 0o700 }]),
    { path: logDirectory, mode: 0o700 },
  ];
}

interface OwnDirectory {
  readonly path: string;
  readonly mode: number;
}

/** A configuration elsewhere is somebody's already. */
const CONFIG_DIRECTORY = '/usr/local/etc/tunneld';

/** What the plist puts into the environment of the daemon. */
export function serviceEnvironment(service: LaunchdService): Readonly<Record<string, string>> {
  const { account, logDirectory, stateDirectory } = service;
  return {
    PATH: '/usr/local/bin:/opt/homebrew/bin:/usr/bin:/bin:/usr/sbin:/sbin',
    // launchd promises it to agents alone; commands that we start (proxyCommand) look for it.
    HOME: account.home,
    // Named as systemd does it, so that both kinds of service have their defaults in one place (src/config/input/paths.ts).
    ...(stateDirectory === null ? {} : { STATE_DIRECTORY: stateDirectory, RUNTIME_DIRECTORY: stateDirectory }),
    TUNNELD_LOG_FILE: join(logDirectory, 'tunneld.log'),
    TUNNELD_WATCHDOG: '60',
  };
}

/** What is written before the log is open, and what Node itself says when it crashes. */
export function crashLog({ logDirectory }: LaunchdService): string {
  return join(logDirectory, 'launchd.log');
}

import { type PlistDict, renderPlist } from './plist.ts';
import { crashLog, LABEL, type LaunchdService, serviceEnvironment } from './service.ts';

/**
 * The property list of the service: what launchd.plist(5) calls a job (https://keith.github.io/xcode-man-pages/launchd.plist.5.html).
 * launchd/dev.tunneld.tunneld.plist is the one for the default names.
 */
export function renderJob(service: LaunchdService): string {
  return renderPlist(HEADER, job(service), COMMENTS);
}

function job(service: LaunchdService): PlistDict {
  return {
    Label: LABEL,
    ...(service.kind === 'daemon' ? { UserName: service.account.name } : {}),
    ProgramArguments: [service.node, ...NODE_OPTIONS, service.program, 'run', '--config', service.config],
    EnvironmentVariables: serviceEnvironment(service),
    KeepAlive: true,
    ThrottleInterval: 10,
    ExitTimeOut: 15,
    Umask: 0o077,
    HardResourceLimits: { Core: 0 },
    StandardErrorPath: crashLog(service),
  };
}

/** The same options as in the program's first line (packaging/build.mjs). */
const NODE_OPTIONS = ['--single-threaded-gc', '--v8-pool-size=1', '--inspect-port=240.0.0.1:9229'];

// No comment may have two hyphens in a row: they end it.
const HEADER = `
  "sudo tunneld install" writes this file, and "sudo tunneld uninstall" removes it. By hand, with NAME for the account whose keys
  and known_hosts are used (edit UserName, HOME, and the paths of node and tunneld, which "command -v" prints):
    sudo install -d -m 700 -o NAME /var/db/tunneld /var/log/tunneld
    sudo install -m 644 -o root -g wheel launchd/dev.tunneld.tunneld.plist /Library/LaunchDaemons/
    sudo launchctl enable system/dev.tunneld.tunneld
    sudo launchctl bootstrap system /Library/LaunchDaemons/dev.tunneld.tunneld.plist
  It is a daemon and not an agent: agents start at a login only, and since macOS 15 cannot reach the local network.
`.replace('\n', '');

const COMMENTS: Readonly<Record<string, string>> = {
  ProgramArguments:
    'node by its path, because launchd has a PATH without it; the options are those of the first line of tunneld',
  EnvironmentVariables:
    'tunneld rotates its log itself; a watchdog thread ends the process when it hangs, because launchd has no watchdog',
  KeepAlive: 'start at load, at boot (once the disk is unlocked), and again after every exit',
  ThrottleInterval:
    'at least this many seconds between two starts (the default of launchd); a job that ran longer is restarted at once',
  ExitTimeOut: 'seconds between SIGTERM and SIGKILL',
  Umask: '077: files are readable by the owner only',
  HardResourceLimits: 'no private key in a core dump',
  StandardErrorPath:
    'launchd keeps this file open, so that it cannot be rotated: it holds only what is printed outside the log, such as a crash of node',
};

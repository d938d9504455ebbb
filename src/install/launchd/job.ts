import { type PlistDict, renderPlist } from './plist.ts';
import { crashLog, LABEL, type LaunchdService, serviceEnvironment } from './service.ts';

/**
 * The property list of the service: what launchd.plist(5) calls a job (https://keith.github.io/xcode-man-pages/launchd.plist.5.html).
 * The one that is shipped is this for the usual names.
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

/** What the first line of the program says to Node when it is started by its name (packaging/build.mjs). */
const NODE_OPTIONS = ['--single-threaded-gc', '--inspect-port=240.0.0.1:9229'];

// No comment may have two hyphens in a row: they end it.
const HEADER = `
  "sudo tunneld install" makes this, and "tunneld uninstall" takes it away. By hand, with NAME for the account whose keys and
  known_hosts are to be used (edit UserName, HOME, and the paths of node and tunneld, which "command -v" tells):
    sudo install -d -m 700 -o NAME /var/db/tunneld /var/log/tunneld
    sudo install -m 644 -o root -g wheel launchd/dev.tunneld.tunneld.plist /Library/LaunchDaemons/
    sudo launchctl enable system/dev.tunneld.tunneld
    sudo launchctl bootstrap system /Library/LaunchDaemons/dev.tunneld.tunneld.plist
  A daemon and not an agent: agents wait for a login, and since macOS 15 are cut off from the local network.
`.replace('\n', '');

const COMMENTS: Readonly<Record<string, string>> = {
  ProgramArguments:
    'node by its path, since launchd has a PATH without it; the options are those of the first line of tunneld',
  EnvironmentVariables:
    'the log belongs to tunneld, which rotates it; a thread ends a process that hangs, since launchd has no watchdog',
  KeepAlive: 'starts when this is loaded, with the system too (once the disk is unlocked), and again after any end',
  ThrottleInterval:
    'seconds from one start to the next at least, which is what launchd does anyway; after a longer life the next comes at once',
  ExitTimeOut: 'seconds between SIGTERM and SIGKILL',
  Umask: '077: nothing that we write is for others',
  HardResourceLimits: 'no private key in a core dump',
  StandardErrorPath:
    'launchd keeps this open, so that it cannot be rotated: it has only what comes before the log, such as a crash of node itself',
};

import { UserError } from '../../lib/user-error.ts';
import { mustRun, type Runner } from '../steps/run-program.ts';

/** The state of tunnel.service in the service manager. */
export interface UnitState {
  readonly load: string;
  /** The unit file it was read from, or empty. */
  readonly fragment: string;
  /** Drop-ins of this unit, without those of all services. */
  readonly dropIns: readonly string[];
  readonly active: string;
  readonly enabled: string;
  readonly needsReload: boolean;
  readonly pid: number;
  readonly exitStatus: number;
  readonly status: string;
}

/** The service manager of the system or of a user. */
export interface Manager {
  readonly systemctl: readonly string[];
  readonly journal: readonly string[];
  readonly run: Runner;
}

export const UNIT = 'tunnel.service';

export function systemManager(run: Runner): Manager {
  return { systemctl: ['systemctl'], journal: ['journalctl', `--unit=${UNIT}`], run };
}

export function userManager(run: Runner): Manager {
  return { systemctl: ['systemctl', '--user'], journal: ['journalctl', `--user-unit=${UNIT}`], run };
}

export async function unitState({ systemctl, run }: Manager): Promise<UnitState> {
  return parseUnitState(await mustRun(run, [...systemctl, 'show', UNIT, `--property=${PROPERTIES}`]));
}

const PROPERTIES =
  'LoadState,FragmentPath,DropInPaths,ActiveState,UnitFileState,NeedDaemonReload,MainPID,ExecMainStatus,StatusText';

function parseUnitState(text: string): UnitState {
  const value = (name: string) => new RegExp(`^${name}=(.*)$`, 'm').exec(text)?.[1] ?? '';
  return {
    load: value('LoadState'),
    fragment: value('FragmentPath'),
    dropIns: value('DropInPaths')
      .split(' ')
      .filter((path) => path.includes(`/${UNIT}.d/`)),
    // While it reads its configuration anew, the service runs all the same.
    active: value('ActiveState').replace('reloading', 'active'),
    enabled: value('UnitFileState'),
    needsReload: value('NeedDaemonReload') === 'yes',
    pid: Number(value('MainPID')),
    exitStatus: Number(value('ExecMainStatus')),
    status: value('StatusText'),
  };
}

/** The version of systemd, from a text such as `systemd 252 (252.38-1~deb12u1)`. Rejects one that is older than `oldest`. */
export async function systemdVersion({ systemctl, run }: Manager, oldest: number): Promise<number> {
  const text = await mustRun(run, [systemctl[0]!, '--version']);
  const version = Number(/^systemd (\d+)/.exec(text)?.[1]);
  if (version >= oldest) return version;
  throw new UserError(
    `systemd ${Number.isNaN(version) ? 'of an unknown version' : version} is too old: the service needs ${oldest} or later, which ` +
      'Debian 12, Ubuntu 24.04 and Fedora 37 have (LoadCredential= of a directory keeps the keys readable by root only). ' +
      '`tunneld run` works without systemd',
  );
}

/** The last lines of the service's log, for an error message. */
export async function recentLog({ journal, run }: Manager): Promise<readonly string[]> {
  const { stdout } = await run([...journal, '--lines=8', '--output=cat', '--no-pager', '--quiet']);
  const log = stdout.trimEnd();
  return log === '' ? [] : ['last lines of its log:', log.replaceAll(/^/gm, '    ')];
}

/** Names of the variables that the service manager gives to all units. */
export async function inheritedVariables(run: Runner): Promise<ReadonlySet<string>> {
  const { stdout } = await run(['systemctl', 'show-environment']);
  return new Set([...stdout.matchAll(/^(\w+)=/gm)].map(([, name = '']) => name));
}

import { shellWord } from '../lib/shell-quote.ts';
import type { ServerSpec, TunnelSpec } from '../model/spec.ts';
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { exposedSecrets, modeOf } from '../connection/auth/exposed-secrets.ts';
import { makeDirectory } from '../lib/files/make-directory.ts';
import { errorCode, errorText } from '../lib/text.ts';
import { type Account, giveFile, knownHostsProblems } from './known-hosts-access.ts';
import type { Step } from './check.ts';
import type { ReportStep } from './types.ts';
import { succeeds } from '../lib/async/succeeds.ts';
import { withFile, type OpenFile } from '../lib/files/open-file.ts';

export interface DeviceDeps {
  readonly wall: () => number;
  readonly stateDirectory: string;
  readonly configFile: string;
  /** Repairs what can be repaired. */
  readonly fix: boolean;
  /** `systemctl show` of the unit as text, or null where there is no systemd. */
  readonly unit: () => Promise<string | null>;
  /** When the service wrote the last line in the journal that this user may read; null where there is none. */
  readonly lastLine: () => Promise<string | null>;
  /** Whether the configuration is that of the installed service. */
  readonly installed: boolean;
  /** The account that the daemon runs as, null where it is the caller's, unknown where this user may not connect to the daemon. */
  readonly account: Account | 'unknown' | null;
  /** The daemon's version, or null where none runs. */
  readonly daemon: string | null;
  /** Why data is not encrypted by the addon, or null. */
  readonly nativeCryptoProblem: string | null;
  onStep(step: Step): void;
}

/** Checks this device: the permissions of files, the clock, the state directory, and the service. */
export async function checkDevice(tunnels: readonly TunnelSpec[], deps: DeviceDeps): Promise<void> {
  const report: ReportStep = (step, result, seen, cure) =>
    deps.onStep({ tunnel: null, step, result, seen, ms: 0, ...(cure === undefined ? {} : { cure }) });
  await permissions(tunnels, deps, report);
  clock(deps, report);
  await stateDirectory(deps, report);
  await service(deps, report);
  nativeCrypto(deps.nativeCryptoProblem, report);
}

async function permissions(tunnels: readonly TunnelSpec[], deps: DeviceDeps, report: ReportStep): Promise<void> {
  const servers = tunnels.flatMap((tunnel) => [tunnel, ...tunnel.jumps]);
  const bad = [
    ...(await secretPermissions(tunnels, deps, report)),
    ...(await configPermissions(deps, report)),
    ...(await knownHostsPermissions(servers, deps, report)),
  ];
  if (!bad.includes(true)) report('permissions', 'ok', 'keys and secrets can be read by their owner alone');
}

/** For each exposed file whether it still is. */
async function secretPermissions(
  tunnels: readonly TunnelSpec[],
  { fix }: DeviceDeps,
  report: ReportStep,
): Promise<readonly boolean[]> {
  const bad: boolean[] = [];
  for (const { path, text } of await exposedSecrets(tunnels)) {
    const fixed = fix && (await succeeds(setMode(path, () => 0o600)));
    bad.push(!fixed);
    if (fixed) report('permissions', 'ok', `${text}: it has mode 0600 now`);
    else
      report('permissions', 'fail', text, `${sudo()}chmod 600 ${shellWord(path)}   (or ${sudo()}tunneld doctor --fix)`);
  }
  return bad;
}

async function configPermissions({ configFile, fix }: DeviceDeps, report: ReportStep): Promise<readonly boolean[]> {
  const mode = await modeOf(configFile);
  if (mode === null || (mode & 0o022) === 0) return [];
  const text = `${configFile} can be written by other users, who could run commands with it (proxyCommand)`;
  if (fix && (await succeeds(setMode(configFile, (now) => now & ~0o022))))
    report('permissions', 'ok', `${text}: no longer`);
  else
    report(
      'permissions',
      'warn',
      text,
      `${sudo()}chmod go-w ${shellWord(configFile)}   (or ${sudo()}tunneld doctor --fix)`,
    );
  return [true];
}

async function knownHostsPermissions(
  servers: readonly ServerSpec[],
  { fix, account }: DeviceDeps,
  report: ReportStep,
): Promise<readonly boolean[]> {
  const bad: boolean[] = [];
  for (const { file, result, text, cure } of await knownHostsProblems(servers, account)) {
    const owner = account === 'unknown' ? null : account;
    const fixed = fix && owner !== null && (await succeeds(giveFile(file, owner)));
    bad.push(!fixed);
    if (fixed) report('permissions', 'ok', `${text}: it belongs to ${owner.name} now`);
    else report('permissions', result, text, owner === null ? cure : `${cure}   (or sudo tunneld doctor --fix)`);
  }
  return bad;
}

/** No certificate is checked, but the log has the time; a Pi without a battery starts in the past. */
function clock({ wall }: DeviceDeps, report: ReportStep): void {
  const now = new Date(wall());
  const ok = now.getTime() > BUILT_AFTER;
  report(
    'clock',
    ok ? 'ok' : 'warn',
    now.toISOString(),
    ok ? undefined : 'Set the clock, or wait for NTP (`timedatectl`).',
  );
}

/** Before this program was written. */
const BUILT_AFTER = Date.UTC(2026, 0, 1);

async function stateDirectory({ stateDirectory: path, fix, account }: DeviceDeps, report: ReportStep): Promise<void> {
  const owner = (await stat(path).catch(() => null))?.uid ?? null;
  if (owner !== null && owner !== process.getuid?.() && process.getuid?.() !== 0) {
    report(
      'state directory',
      'skip',
      `${path} belongs to another user, and only that user can look into it (try sudo)`,
    );
    return;
  }
  const writable = () => access(path, constants.W_OK | constants.X_OK);
  if (await succeeds(writable())) {
    report('state directory', 'ok', `${path} can be written`);
    return;
  }
  if (fix && (await succeeds((async () => makeDirectory(path))())) && (await succeeds(writable()))) {
    report('state directory', 'ok', `${path} was created`);
    return;
  }
  const why = await access(path, constants.W_OK).then(
    () => 'cannot be entered',
    (error: unknown) => errorCode(error) ?? errorText(error),
  );
  const make = `${sudo()}mkdir -p -m 700 ${shellWord(path)}   (or ${sudo()}tunneld doctor --fix; the daemon creates it too where it may)`;
  const give = `Give it to the user that runs tunneld, or set another one with stateDirectory.`;
  // A directory that root creates for the service must belong to the service.
  const cure =
    account === null
      ? why === 'ENOENT'
        ? make
        : give
      : "sudo tunneld install   (it corrects the service's directories)";
  report('state directory', 'warn', `${path}: ${why}; source ports are lost at a power cut`, cure);
}

async function service({ daemon, unit, lastLine, installed }: DeviceDeps, report: ReportStep): Promise<void> {
  const shown = await unit();
  const value = (key: string) => new RegExp(`^${key}=(.*)$`, 'm').exec(shown ?? '')?.[1] ?? '';
  const running = daemon === null ? 'no daemon runs' : `the daemon runs (${daemon})`;
  if (shown === null || value('LoadState') !== 'loaded') {
    const what = shown === null ? 'there is no systemd here' : 'there is no tunnel.service';
    report(
      'service manager',
      daemon === null ? 'warn' : 'ok',
      `${what}; ${running}`,
      daemon === null ? 'sudo tunneld install' : undefined,
    );
    report('watchdog', 'skip', 'there is no service');
    report('journal', 'skip', 'there is no service');
    return;
  }
  // While it reads its configuration anew, the service runs all the same.
  const state = value('ActiveState').replace('reloading', 'active');
  const active = state === 'active';
  const enabled = value('UnitFileState') === 'enabled';
  report(
    'service manager',
    active && enabled ? 'ok' : 'warn',
    `tunnel.service is ${state} and ${value('UnitFileState')}; ${running}`,
    // install also gives the service its files.
    active && enabled ? undefined : installed ? 'sudo tunneld install' : 'sudo systemctl enable --now tunnel',
  );
  watchdog(value('WatchdogUSec'), active, report);
  journal(await lastLine(), active, report);
}

function watchdog(interval: string, active: boolean, report: ReportStep): void {
  const watched = !['', '0', 'infinity'].includes(interval);
  // systemd 252 and later show it only for a service that has run.
  if (interval === 'infinity' && !active) report('watchdog', 'skip', 'the service does not run');
  else if (watched) report('watchdog', 'ok', `every ${interval}`);
  else report('watchdog', 'warn', 'off', 'sudo systemctl edit tunnel, and there WatchdogSec=60 below [Service]');
}

function journal(line: string | null, active: boolean, report: ReportStep): void {
  if (line === null && !active) report('journal', 'skip', 'the service does not run');
  else if (line !== null) report('journal', 'ok', `journalctl -u tunnel: the last line is from ${line}`);
  else {
    const cure = 'Read it as root, or as a member of the group systemd-journal; or set log.file in the configuration.';
    report('journal', 'warn', 'journalctl -u tunnel shows no line of tunneld', cure);
  }
}

/** Its lack costs no more than processor time. */
function nativeCrypto(problem: string | null, report: ReportStep): void {
  if (problem === null) report('native crypto', 'ok', 'data is encrypted by the addon');
  else report('native crypto', 'skip', `${problem}: Node.js encrypts, which costs up to twice the processor time`);
}

/** With sudo, cures are pasted by a user who is not root. */
function sudo(): string {
  return process.getuid?.() === 0 && process.env['SUDO_USER'] !== undefined ? 'sudo ' : '';
}

/** Root follows no link that another user could have made to a file of the system. */
async function setMode(path: string, modeOf: (now: number) => number): Promise<void> {
  const { uid } = await stat(dirname(path));
  const careful = process.getuid?.() === 0 && uid !== 0;
  const change = async ({ handle, stats }: OpenFile) => {
    if (!stats.isFile()) throw new Error('it is not a regular file');
    if (careful && stats.nlink > 1) throw new Error('it has another name elsewhere (a hard link)');
    await handle.chmod(modeOf(stats.mode & 0o777));
  };
  await withFile(path, change, { flags: careful ? constants.O_NOFOLLOW : 0 });
}

import { arch, cpus, freemem, homedir, release, totalmem, type as systemType, uptime } from 'node:os';
import { join } from 'node:path';
import { systemEnvironment } from '../../config/input/environment.ts';
import { ConfigError } from '../../config/input/problem.ts';
import { loadConfig } from '../../config/load.ts';
import { printWhole } from '../../config/print.ts';
import { LABEL } from '../../install/launchd/service.ts';
import { STATE } from '../../install/systemd/service-paths.ts';
import { runProgram } from '../../install/steps/run-program.ts';
import { systemClock } from '../../lib/async/clock.ts';
import { deadline } from '../../lib/async/deadline.ts';
import { NEVER } from '../../lib/async/never.ts';
import { waitFor } from '../../lib/async/scope.ts';
import { readText } from '../../lib/files/read-file.ts';
import { formatLogLine } from '../../lib/log/format.ts';
import { errorText, formatDuration } from '../../lib/text.ts';
import type { Config } from '../../model/config.ts';
import { doctor } from '../checks/doctor.ts';
import { findConfig } from '../find/config-file.ts';
import { request } from '../find/daemon-request.ts';
import { formatHistory } from '../text/history-text.ts';
import { versionLine } from '../version.ts';
import { registerSecretsOf } from './known-secrets.ts';
import { outlineOf, redactConfig, redactUnit } from './redact.ts';

export interface Section {
  readonly title: string;
  /** What cannot be read rejects, with the reason. */
  read(): Promise<string>;
}

/** Everything that a report has, each part by itself. From then on the secrets of the configuration are masked. */
export async function sectionsOf(flag: string | null): Promise<readonly Section[]> {
  const file = await findConfig(flag);
  const text = await readText(file).catch(() => '');
  const config = await loadConfig(file, systemEnvironment()).catch((error: unknown) => error);
  const valid = config instanceof Error ? null : (config as Config);
  await registerSecretsOf(text, valid);
  return [
    { title: 'versions', read: versions },
    { title: 'this machine', read: machine },
    { title: `configuration ${file}`, read: () => configuration(text, valid, config) },
    { title: 'doctor', read: () => checks(flag) },
    { title: 'status', read: async () => JSON.stringify(await request(flag, { command: 'status' }, null), null, 2) },
    { title: 'history', read: () => history(flag, valid) },
    { title: 'log', read: () => log(flag, valid) },
    { title: 'service', read: service },
  ];
}

async function versions(): Promise<string> {
  const ssh = await runProgram(['ssh', '-V']);
  const systemd = await runProgram(['systemctl', '--version']);
  return [
    versionLine(),
    `OpenSSL ${process.versions.openssl}, ICU ${process.versions['icu'] ?? 'none'}`,
    ssh.code === 0 ? ssh.stderr.trim() : 'ssh: not found',
    systemd.code === 0 ? systemd.stdout.split('\n', 1)[0]! : 'systemd: not found',
  ].join('\n');
}

async function machine(): Promise<string> {
  const osRelease = await readText('/etc/os-release').catch(() => '');
  const [, name = ''] = /^PRETTY_NAME="?([^"\n]*)/m.exec(osRelease) ?? [];
  const model = await readText('/proc/device-tree/model').catch(() => '');
  const megabytes = (bytes: number) => `${Math.round(bytes / 1024 ** 2)} MiB`;
  return [
    [`${systemType()} ${release()} ${arch()}`, name, model.replaceAll('\0', '')]
      .filter((part) => part !== '')
      .join(', '),
    `${cpus().length} processors, ${megabytes(totalmem())} memory, ${megabytes(freemem())} free, up for ${formatDuration(uptime() * 1000)}`,
    `time zone ${Intl.DateTimeFormat().resolvedOptions().timeZone}, user ${process.getuid?.() === 0 ? 'root' : 'other than root'}`,
  ].join('\n');
}

async function configuration(text: string, config: Config | null, error: unknown): Promise<string> {
  if (config !== null) {
    const notes = [...config.warnings, ...config.notes].map((note) => `# ${note}`);
    return [...notes, printWhole(redactConfig(config), systemEnvironment())].join('\n');
  }
  // What is repeated in a message may be a password that stands in the wrong place.
  const problems =
    error instanceof ConfigError
      ? error.problems.map(({ file, line, column, message }) => `${file}:${line}:${column}: ${unquoted(message)}`)
      : [errorText(error)];
  return [...problems, '', ...(text === '' ? [] : ['Its keys:', outlineOf(text)])].join('\n');
}

function unquoted(message: string): string {
  return message.replaceAll(/"(?:[^"\\]|\\.)*"/g, '"***"');
}

/** The checks of doctor. They log in by themselves where no daemon runs, and servers may be slow. */
async function checks(flag: string | null): Promise<string> {
  let text = '';
  const to = { isTTY: false, write: (part: string) => (text += part) };
  const work = doctor(flag, null, { json: false, fix: false }, to);
  try {
    const late = () => new Error('they take more than a minute');
    await deadline(systemClock, CHECKS_MS, late, waitFor(work), NEVER);
  } catch (error) {
    text += `\nnot finished: ${errorText(error)}\n`;
  }
  return text;
}

const CHECKS_MS = 60_000;

async function history(flag: string | null, config: Config | null): Promise<string> {
  try {
    return formatHistory(await request(flag, { command: 'history', name: null, sinceMs: MONTH_MS }, null));
  } catch (error) {
    const path = join(config?.stateDirectory ?? STATE, 'history.jsonl');
    const lines = (await readText(path)).trimEnd().split('\n');
    return [`${errorText(error)}; the last lines of ${path}:`, ...lines.slice(-RECORDS)].join('\n');
  }
}

const MONTH_MS = 30 * 86_400_000;
const RECORDS = 50;

/** What the daemon remembers, else its file, else the journal. */
async function log(flag: string | null, config: Config | null): Promise<string> {
  const lines: string[] = [];
  try {
    await request(flag, { command: 'logs', name: null, lines: LOG_LINES, follow: false }, null, (line) =>
      lines.push(formatLogLine(line, false)),
    );
    return lines.join('\n');
  } catch (error) {
    const file = config?.log.file ?? null;
    const found = file === null ? await journal() : (await readText(file)).trimEnd();
    const last = found.split('\n').slice(-LOG_LINES);
    return [
      `${errorText(error)}; from ${file ?? 'the journal'}:`,
      ...last.map((line) => formatLogLine(line, false)),
    ].join('\n');
  }
}

const LOG_LINES = 300;

async function journal(): Promise<string> {
  const which = ['--unit=tunnel', `--lines=${LOG_LINES}`, '--no-pager', '--quiet', '--output=short-iso'];
  const { code, stdout, stderr } = await runProgram(['journalctl', ...which]);
  if (code !== 0) throw new Error(`journalctl: ${stderr.trim()}`);
  return stdout;
}

/** The unit with its drop-ins, and how it is: not by `systemctl status`, which shows the arguments of its processes. */
async function service(): Promise<string> {
  if (process.platform === 'darwin') {
    const places = ['/Library/LaunchDaemons', join(homedir(), 'Library/LaunchAgents')];
    const jobs = await Promise.all(places.map((place) => readText(join(place, `${LABEL}.plist`)).catch(errorText)));
    return jobs.map(redactPlist).join('\n');
  }
  const scopes = [[], ...(process.getuid?.() === 0 ? [] : [['--user']])];
  const texts = await Promise.all(
    scopes.map(async (scope) => {
      const show = await runProgram(['systemctl', ...scope, 'show', UNIT, `--property=${PROPERTIES}`]);
      const unit = await runProgram(['systemctl', ...scope, 'cat', '--no-pager', UNIT]);
      const name = ['systemctl', ...scope].join(' ');
      return [
        `${name} show:`,
        show.code === 0 ? show.stdout : `not available: ${show.stderr.trim()}`,
        `${name} cat:`,
        unit.code === 0 ? redactUnit(unit.stdout) : `not available: ${unit.stderr.trim()}`,
      ].join('\n');
    }),
  );
  return texts.join('\n');
}

const UNIT = 'tunnel.service';
const PROPERTIES =
  'LoadState,ActiveState,SubState,UnitFileState,Result,StatusText,MainPID,NRestarts,ExecMainStatus,ActiveEnterTimestamp,InactiveEnterTimestamp,' +
  'FragmentPath,DropInPaths,User,MemoryCurrent,CPUUsageNSec,TasksCurrent,WatchdogUSec,NeedDaemonReload';

/** All values of a property list but paths and switches. */
function redactPlist(text: string): string {
  return text.replaceAll(/<string>([^<]*)<\/string>/g, (whole, value: string) =>
    /^(?:[/~][\w./@-]*|--[\w-]+|-\w|run)$/.test(value) ? whole : '<string>***</string>',
  );
}

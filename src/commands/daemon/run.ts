import { existsSync } from 'node:fs';
import { adHocName } from '../../config/command-line/ad-hoc.ts';
import { adHocSocket } from '../../config/command-line/paths.ts';
import { candidatePath, configCandidates } from '../../config/input/paths.ts';
import { type ConfigEnvironment, systemEnvironment } from '../../config/input/environment.ts';
import { loadInThread, loadFrom, type ConfigSource } from '../../config/load-in-thread.ts';
import type { Config } from '../../model/config.ts';
import { printConfig } from '../../config/print.ts';
import { connectError } from '../../lib/unix-socket.ts';
import { startDaemon, type Daemon } from '../../daemon/daemon.ts';
import { createLastGoodKeeper } from '../../daemon/last-good.ts';
import { createProblems, type Problems } from '../../daemon/problems.ts';
import { fileOutput } from '../../lib/log/file.ts';
import { stderrOutput, type LogOutput } from '../../lib/log/output.ts';
import { createNotifier } from '../../host/sd-notify.ts';
import { withWatchdogThread } from '../../host/watchdog-thread.ts';
import { systemClock } from '../../lib/async/clock.ts';
import { waitAtMost } from '../../lib/async/wait-at-most.ts';
import { createLogMemory } from '../../lib/log/memory.ts';
import { limitPerMinute } from '../../lib/log/limit-per-minute.ts';
import { createLogger, type Logger } from '../../lib/log/log.ts';
import { STRAY_SIGNALS } from '../../lib/stray-signals.ts';
import { UserError } from '../../lib/user-error.ts';
import { pathOwner } from '../../lib/files/path-owner.ts';
import { errorText, printable } from '../../lib/text.ts';
import { EXIT } from '../../lib/exit-code.ts';
import { findConfig } from '../find/config-file.ts';
import { firstConfig, type FirstConfig } from '../../daemon/starting-config.ts';
import { printError, report } from '../text/report.ts';

export interface RunOptions {
  /** Only prints the configuration that the command line means. */
  readonly printConfig: boolean;
  /** Refuses to start on the last configuration that worked, where the file is not valid. */
  readonly strict: boolean;
}

/** Runs the daemon until a signal ends it: on a configuration file, or on the arguments of ssh if there are any. */
export async function run(flag: string | null, sshArguments: readonly string[], options: RunOptions): Promise<number> {
  // Before the files are read, so that a reload which is asked for meanwhile is done afterwards.
  const signals = collectSignals();
  signals.collect('SIGHUP', 'SIGUSR1');
  const environment = systemEnvironment();
  const adHoc = sshArguments.length > 0;
  checkUsage(flag, adHoc, options);
  const wanted = adHocName(sshArguments);
  const name = adHoc && !options.printConfig ? await freeName(wanted, environment) : wanted;
  const file = adHoc ? '' : await findConfig(flag);
  if (!adHoc && configCandidates(flag, environment).length > 1 && isOfAnother(file))
    throw new UserError(
      `${file} is another user's, and its commands would run as root: name it with --config if that is meant`,
    );
  const source: ConfigSource = adHoc ? { sshArguments, name } : { file };
  const starting = await firstConfig({
    load: () => loadFrom(source, environment),
    file: adHoc || options.strict ? null : file,
    env: environment,
    onInvalid: printError,
    onForeignLastGood: (directory) =>
      report(
        `the last configuration that worked, in ${directory}, belongs to another user, and root does not run it: start the service`,
      ),
  });
  if (!options.printConfig) return await runDaemon(starting, source, environment, signals);
  const { config } = starting;
  for (const text of [...config.warnings, ...config.notes]) report(printable(text));
  process.stdout.write(printConfig(config, environment));
  return EXIT.ok;
}

function checkUsage(flag: string | null, adHoc: boolean, options: RunOptions): void {
  if (adHoc && flag !== null) throw wrongUsage('either --config or the options of ssh: a daemon runs on one of them');
  if (options.printConfig && !adHoc) throw wrongUsage('--print-config needs the options of ssh and a server');
}

function wrongUsage(message: string): UserError {
  return new UserError(`${message}\n(see tunneld run --help)`, EXIT.usage);
}

async function runDaemon(
  { config, problem, lastGood }: FirstConfig,
  source: ConfigSource,
  environment: ConfigEnvironment,
  signals: Signals,
): Promise<number> {
  const memory = createLogMemory();
  const { output, reopen, written } = chooseOutput(config, (message) => problems.report('the log file', message));
  const log = createLogger(config.log.level, (line) => {
    memory.add(line);
    output(line);
  });
  const problems: Problems = createProblems(log);
  if (problem !== null)
    log.error(`${problem}\n${config.file} is not valid: the last configuration that worked runs instead`);
  const onProblem = (message: string) => log.warn(message);
  const systemd = createNotifier(process.env, { pid: process.pid, onProblem });
  const notifier = withWatchdogThread(systemd, process.env, onProblem);

  // Until here these signals end the process at once.
  signals.collect('SIGTERM', 'SIGINT', 'SIGQUIT');
  logStraySignals(log);
  // A bug in one place must not take the other tunnels down; the watchdog judges whether the loops still run.
  logBugs(log);
  let daemon: Daemon;
  try {
    daemon = await startDaemon(config, {
      clock: systemClock,
      random: Math.random,
      log,
      memory,
      notifier,
      pid: process.pid,
      load: () => {
        reopen(); // a reload also announces that the log file was rotated
        return loadInThread(source, environment);
      },
      loadCandidate: async (name) => ({
        ...(await loadInThread({ file: candidatePath(config.file, name) }, environment)),
        file: config.file,
      }),
      lastGood,
      keeper: createLastGoodKeeper(environment, (message) => problems.report('the last good configuration', message)),
      problem,
      problems,
    });
  } catch (error) {
    log.fatal(`cannot start: ${errorText(error)}`);
    await waitAtMost(written(), LAST_LINES_MS, systemClock);
    return EXIT.failed;
  }
  await untilStopped(daemon, signals.inOrder);
  const cancelForce = systemClock.timer(FORCE_EXIT_MS, () => process.exit(EXIT.ok));
  await daemon.stop();
  await waitAtMost(written(), LAST_LINES_MS, systemClock);
  cancelForce();
  return EXIT.ok;
}

async function untilStopped(daemon: Daemon, signals: AsyncIterable<NodeJS.Signals>): Promise<void> {
  for await (const signal of signals) {
    // Not awaited, so that a stop need not wait for it; reloads queue, and log why they failed, by themselves.
    if (signal === 'SIGHUP') void daemon.reload().catch(() => {});
    // As autossh does.
    else if (signal === 'SIGUSR1') void daemon.reconnect();
    else return;
  }
}

/** sudo may keep the caller's $HOME. */
function isOfAnother(file: string): boolean {
  return process.getuid?.() === 0 && existsSync(file) && pathOwner(file).uid !== 0;
}

/** Nothing that hangs may keep a stop from ending. */
const FORCE_EXIT_MS = 1800;

/** So long the journal may take for the last lines. */
const LAST_LINES_MS = 500;

/** Bugs, and Node's warnings, which it would print raw between our lines. A client may find out how to repeat one: they are limited. */
function logBugs(log: Logger): void {
  const few = limitPerMinute(systemClock, BUGS_A_MINUTE);
  const bug = (what: string) => (error: unknown) =>
    few((suppressed) =>
      log.error({ code: 'internal', error, ...(suppressed === 0 ? {} : { suppressed }) }, `a bug: ${what}`),
    );
  process.on('uncaughtException', bug('uncaught exception'));
  process.on('unhandledRejection', bug('unhandled rejection'));
  process.removeAllListeners('warning').on('warning', (error) => few(() => log.warn({ error }, 'warning of Node.js')));
}

const BUGS_A_MINUTE = 10;

function logStraySignals(log: Logger): void {
  const few = limitPerMinute(systemClock, STRAY_SIGNALS_A_MINUTE);
  for (const name of STRAY_SIGNALS)
    process.on(name, () => {
      few((suppressed) =>
        log.warn(
          suppressed === 0 ? {} : { suppressed },
          `${name}: ignored; SIGTERM ends tunneld, SIGHUP makes it read its file again`,
        ),
      );
    });
}

const STRAY_SIGNALS_A_MINUTE = 10;

/** A second command line to the same server gets a number after its name. */
async function freeName(wanted: string, environment: ConfigEnvironment): Promise<string> {
  for (let number = 1; number < MAX_SAME_NAME; number += 1) {
    const name = number === 1 ? wanted : `${wanted}-${number}`;
    if ((await connectError(adHocSocket(name, environment))) !== null) return name;
  }
  return wanted;
}

const MAX_SAME_NAME = 100;

function chooseOutput(
  config: Config,
  onTrouble: (message: string | null) => void,
): { readonly output: LogOutput; readonly reopen: () => void; written(): Promise<void> } {
  const { write: terminal, written } = stderrOutput(process.stderr, process.env);
  if (config.log.file === null) return { output: terminal, reopen: () => {}, written };
  const file = fileOutput(config.log.file, (message) => {
    if (message !== null) report(message);
    onTrouble(message);
  });
  const both: LogOutput = (line) => {
    file.write(line);
    terminal(line);
  };
  return { output: process.stderr.isTTY ? both : file.write, reopen: file.reopen, written };
}

type Signals = ReturnType<typeof collectSignals>;

/** The signals in the order in which they came. */
function collectSignals() {
  const queue: NodeJS.Signals[] = [];
  let wake = () => {};
  const take = (name: NodeJS.Signals) => {
    // Two reloads that have not begun are one.
    if (queue.at(-1) !== name) queue.push(name);
    wake();
  };
  return {
    /** From this call on; a generator would listen only from its first next(). */
    collect: (...names: readonly NodeJS.Signals[]) => {
      for (const name of names) process.on(name, take);
    },
    inOrder: {
      async *[Symbol.asyncIterator]() {
        for (;;) {
          const next = queue.shift();
          if (next === undefined) await new Promise<void>((resolve) => (wake = resolve));
          else yield next;
        }
      },
    },
  };
}

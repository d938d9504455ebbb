import { systemEnvironment } from '../config/environment.ts';
import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/config.ts';
import { ConfigError } from '../config/problem.ts';
import { startDaemon, type Daemon } from '../daemon.ts';
import { fileOutput } from '../host/log-file.ts';
import { stderrOutput, type LogOutput } from '../host/log-output.ts';
import { createNotifier } from '../host/sd-notify.ts';
import { systemClock } from '../lib/clock.ts';
import { createLogMemory } from '../lib/log-memory.ts';
import { createLogger } from '../lib/log.ts';
import { errorText } from '../lib/text.ts';
import { reportProblems } from './config-problems.ts';
import { EXIT } from './exit.ts';
import { findConfig } from './find-config.ts';

/** Runs the daemon until a signal ends it. */
export async function run(flag: string | null): Promise<number> {
  const environment = systemEnvironment();
  const file = await findConfig(flag);
  let config: Config;
  try {
    config = await loadConfig(file, environment);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return reportProblems(error);
  }

  const memory = createLogMemory();
  const output = chooseOutput(config);
  const log = createLogger(config.log.level, (line) => {
    memory.add(line);
    output(line);
  });
  const notifier = createNotifier(process.env, { pid: process.pid, onProblem: (message) => log.warn(message) });

  // Handlers come before READY=1: a SIGHUP that nobody handles ends Node.
  const signals = collectSignals();
  let daemon: Daemon;
  try {
    daemon = await startDaemon(config, {
      clock: systemClock,
      random: Math.random,
      log,
      memory,
      notifier,
      pid: process.pid,
      loadConfig: () => loadConfig(file, environment),
    });
  } catch (error) {
    log.fatal(`cannot start: ${errorText(error)}`);
    return EXIT.failed;
  }
  // A bug in one place must not take the other tunnels down; the watchdog judges whether the loops still run.
  process.on('uncaughtException', (error) => log.error({ code: 'internal', error }, 'a bug: uncaught exception'));
  process.on('unhandledRejection', (error) => log.error({ code: 'internal', error }, 'a bug: unhandled rejection'));

  for await (const signal of signals) {
    if (signal !== 'SIGHUP') break;
    await daemon.reload().catch(() => {});
  }
  const cancelForce = systemClock.timer(FORCE_EXIT_MS, () => process.exit(EXIT.ok));
  await daemon.stop();
  cancelForce();
  return EXIT.ok;
}

/** Nothing that hangs may keep a stop from ending. */
const FORCE_EXIT_MS = 1800;

function chooseOutput(config: Config): LogOutput {
  const terminal = stderrOutput(process.stderr, process.env);
  if (config.log.file === null) return terminal;
  const file = fileOutput(config.log.file, (message) => process.stderr.write(`tunneld: ${message}\n`));
  if (!process.stderr.isTTY) return file;
  return (line) => {
    file(line);
    terminal(line);
  };
}

/** SIGHUP, SIGTERM and SIGINT in the order they came, from this call on (a generator would listen only when it is first asked). */
function collectSignals(): AsyncIterable<NodeJS.Signals> {
  const queue: NodeJS.Signals[] = [];
  let wake = () => {};
  for (const name of ['SIGHUP', 'SIGTERM', 'SIGINT'] as const) {
    process.on(name, () => {
      queue.push(name);
      wake();
    });
  }
  return {
    async *[Symbol.asyncIterator]() {
      for (;;) {
        const next = queue.shift();
        if (next === undefined) await new Promise<void>((resolve) => (wake = resolve));
        else yield next;
      }
    },
  };
}

import { spawn } from 'node:child_process';
import { writeSync } from 'node:fs';
import { systemClock } from '../lib/async/clock.ts';
import { createQueue } from '../lib/async/queue.ts';
import { inheritedDescriptor } from '../lib/inherited-descriptor.ts';
import { errorText, escapeControls } from '../lib/text.ts';

/** Notifications of the daemon to systemd, sd_notify(3). Does nothing without a service manager, and never throws. */
export interface Notifier {
  /**
   * The interval within which `watchdog()` has to be called (WatchdogSec=), or null without a watchdog. Half of it is a
   * good interval.
   */
  readonly watchdogMs: number | null;
  ready(): void;
  /** The line that `systemctl status` shows. */
  status(text: string): void;
  watchdog(): void;
  /** The configuration is being reloaded; `ready()` ends it. */
  reloading(): void;
  stopping(): void;
}

export interface NotifierDeps {
  readonly pid: number;
  /** Called once, when a message could not be delivered. */
  readonly onProblem: (message: string) => void;
}

/**
 * Removes the service manager's variables from `env`, so that children (a proxy command, ping) neither notify in our
 * name nor expect a watchdog. Node has no Unix datagram sockets, so there are two ways: a connected descriptor that the
 * unit passes on (`OpenFile=/run/systemd/notify:notify`, systemd 253 and later), or else the program systemd-notify,
 * which needs `NotifyAccess=all`.
 */
export function createNotifier(env: NodeJS.ProcessEnv, deps: NotifierDeps): Notifier {
  const watchdogMs = watchdogInterval(env, deps.pid);
  const send = createSender(env, deps);
  for (const name of Object.keys(env)) if (SERVICE_MANAGER_VARIABLE.test(name)) delete env[name];

  let lastStatus: string | null = null;
  return {
    watchdogMs,
    ready: () => send(['READY=1']),
    status: (text) => {
      const line = statusLine(text);
      if (line === lastStatus) return;
      lastStatus = line;
      send([`STATUS=${line}`]);
    },
    watchdog: () => send(['WATCHDOG=1']),
    // systemd compares the time, CLOCK_MONOTONIC in microseconds, with that of its own request to reload.
    reloading: () => send(['RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`]),
    stopping: () => send([STOPPING]),
  };
}

const STOPPING = 'STOPPING=1';

const SERVICE_MANAGER_VARIABLE = /^(NOTIFY_SOCKET$|LISTEN_|WATCHDOG_)/;

/** sd_watchdog_enabled(3): WATCHDOG_PID, if there, must be ours; the time is in microseconds. */
function watchdogInterval(env: NodeJS.ProcessEnv, pid: number): number | null {
  const forPid = env['WATCHDOG_PID'];
  if (forPid !== undefined && forPid !== String(pid)) return null;
  const microseconds = Number(env['WATCHDOG_USEC']);
  return Number.isSafeInteger(microseconds) && microseconds > 0 ? microseconds / 1000 : null;
}

function createSender(env: NodeJS.ProcessEnv, { pid, onProblem }: NotifierDeps): (assignments: string[]) => void {
  const socket = env['NOTIFY_SOCKET'];
  if (socket === undefined || socket === '') return () => {};
  let reported = false;
  const report = (message: string) => {
    if (reported) return;
    reported = true;
    onProblem(`systemd could not be notified (${message}); the unit needs OpenFile= or NotifyAccess=all`);
  };
  const fd = inheritedDescriptor(env, pid, 'notify');
  const runProgram = programSender({ PATH: env['PATH'], NOTIFY_SOCKET: socket }, report);
  if (fd === null) return runProgram;
  return (assignments) => {
    try {
      writeSync(fd, assignments.join('\n'));
    } catch {
      runProgram(assignments); // systemd may have made the socket anew since the start
    }
  };
}

/**
 * Runs one systemd-notify after another, because READY=1 must not overtake RELOADING=1. Only STOPPING=1 does not wait:
 * the process is about to end, and with it whatever is queued.
 */
function programSender(env: NodeJS.ProcessEnv, report: (message: string) => void): (assignments: string[]) => void {
  const oneAtATime = createQueue();
  let stops = 0;
  return (assignments) => {
    if (assignments.includes(STOPPING)) {
      stops += 1;
      // A failure is reported to nobody: the process ends.
      runNotify(assignments, env).catch(() => {});
      return;
    }
    const before = stops;
    const send = async () => (stops === before ? await runNotify(assignments, env) : undefined);
    oneAtATime(send).catch((error: unknown) => report(errorText(error)));
  };
}

/**
 * Runs without --no-block: systemd-notify then lives until systemd has read the message. Otherwise it has often ended
 * by then; a message of a process that no longer exists belongs to no unit and is discarded, and the watchdog fires.
 */
function runNotify(assignments: string[], env: NodeJS.ProcessEnv): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn('systemd-notify', assignments, { env, stdio: 'ignore' });
    child.unref();
    const cancel = systemClock.timer(PROGRAM_TIMEOUT_MS, () => child.kill('SIGKILL'), true);
    child.once('error', reject).once('exit', (code, signal) => {
      if (code === 0) resolve();
      else reject(new Error(`systemd-notify ended with ${code ?? signal}`));
    });
    child.once('error', cancel).once('exit', cancel);
  });
}

/** It gives up by itself after 5 seconds. */
const PROGRAM_TIMEOUT_MS = 10_000;

/** One line of at most 200 characters, with control characters escaped: it contains names and messages from outside. */
function statusLine(text: string): string {
  const characters = Array.from(escapeControls(text));
  return characters.length > STATUS_LENGTH
    ? `${characters.slice(0, STATUS_LENGTH - 1).join('')}…`
    : characters.join('');
}

const STATUS_LENGTH = 200;

import { Worker } from 'node:worker_threads';
import { errorText } from '../lib/text.ts';
import type { Notifier } from './sd-notify.ts';

/**
 * Starts a watchdog of our own where TUNNELD_WATCHDOG=SECONDS requests one and the service manager has none, as
 * launchd. A thread ends the process when `watchdog()` has not been called for that long; the service manager then
 * starts a new one. The variable is removed from `env`, for children have no watchdog. The time starts at once.
 */
export function withWatchdogThread(
  notifier: Notifier,
  env: NodeJS.ProcessEnv,
  onProblem: (message: string) => void,
): Notifier {
  const wanted = env['TUNNELD_WATCHDOG'];
  delete env['TUNNELD_WATCHDOG'];
  if (!wanted || notifier.watchdogMs !== null) return notifier;
  const seconds = Number(wanted);
  if (!(seconds >= SHORTEST_S && seconds <= LONGEST_S)) {
    onProblem(`TUNNELD_WATCHDOG must be from ${SHORTEST_S} to ${LONGEST_S} seconds; there is no watchdog now`);
    return notifier;
  }
  const beats = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  startThread(beats, seconds, onProblem);
  return {
    ...notifier,
    watchdogMs: seconds * 1000,
    watchdog: () => {
      Atomics.add(beats, 0, 1);
      notifier.watchdog();
    },
  };
}

const SHORTEST_S = 1;
const LONGEST_S = 3600;

/**
 * How often in a row the thread must find no new heartbeat. It counts its own wake-ups instead of time: while the
 * machine sleeps or the process is stopped, thread and event loop stand still together, and no heartbeat is missed. The
 * event loop writes twice in this time (see feedWatchdog), so that one late heartbeat is tolerated.
 */
const STRIKES = 4;

function startThread(beats: Int32Array, seconds: number, onProblem: (message: string) => void): void {
  const failed = (error: unknown) =>
    onProblem(`the watchdog's thread ended, so there is no watchdog now: ${errorText(error)}`);
  try {
    const worker = new Worker(THREAD, {
      eval: true,
      workerData: { beats, seconds, strikes: STRIKES },
      env: {},
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 2 },
    });
    worker.on('error', failed);
    worker.unref();
  } catch (error) {
    failed(error); // for example, no memory for a thread
  }
}

/**
 * Text, because that is part of any bundle. process.abort() does not exist in a worker, but a signal to the process
 * ends it, however its main thread hangs, as Node has no handler for SIGABRT; on a Mac this leaves a report with the
 * stacks of all threads. Only a file is written to synchronously: an unread pipe may be what the main thread hangs on.
 */
const THREAD = `
'use strict';
const { fstatSync, write, writeSync } = require('node:fs');
const { workerData: { beats, seconds, strikes } } = require('node:worker_threads');
let seen = Atomics.load(beats, 0);
let missed = 0;
const timer = setInterval(() => {
  const now = Atomics.load(beats, 0);
  missed = now === seen ? missed + 1 : 0;
  seen = now;
  if (missed < strikes) return;
  clearInterval(timer);
  const line = JSON.stringify({
    level: 60,
    time: Date.now(),
    pid: process.pid,
    code: 'internal',
    msg: 'no sign of life for ' + seconds + ' seconds: the watchdog ends this process, to be started again',
  }) + '\\n';
  let ended = false;
  const end = () => {
    if (ended) return;
    ended = true;
    process.kill(process.pid, 'SIGABRT');
    setTimeout(() => process.kill(process.pid, 'SIGKILL'), 5000);
  };
  try {
    if (fstatSync(2).isFile()) {
      writeSync(2, line);
      end();
    } else {
      setTimeout(end, 1000);
      write(2, line, end);
    }
  } catch {
    end();
  }
}, (seconds * 1000) / strikes);
`;

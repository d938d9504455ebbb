import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import type { Writable } from 'node:stream';
import { deferred } from '../../lib/async/abort.ts';
import type { Clock } from '../../lib/async/clock.ts';
import type { Logger } from '../../lib/log/log.ts';
import { errorText, printable } from '../../lib/text.ts';
import { TunnelFailure } from '../../model/failure.ts';
import { adaptStreams } from '../../net/streams/stream-adapter.ts';

/**
 * Runs a command whose standard input and output lead to the server (ssh_config(5), ProxyCommand). Always with sh: a
 * service's user may have a shell that permits no login. A bounded part of its standard error is logged.
 */
export function startProxyCommand(command: string, log: Logger, clock: Clock) {
  const child = spawnShell(command);
  const lost = deferred<never>();
  const gone = deferred<void>();
  let isGone = false;
  let lastLine = '';
  let lines = 0;
  let outputClosed = false;

  child.stderr.on('data', (chunk: Buffer) => {
    // A line without an end is not waited for.
    for (const line of chunk.toString('utf8', 0, MAX_STDERR).split('\n')) if (line.trim() !== '') onLine(line.trim());
  });
  const onLine = (line: string) => {
    lastLine = printable(line, 200);
    lines += 1;
    if (lines <= MAX_LINES) log.warn(`proxyCommand says: ${lastLine}`);
    if (lines === MAX_LINES) log.warn('proxyCommand says more, which is not logged');
  };
  const stream = adaptStreams({
    readable: child.stdout,
    writable: child.stdin,
    close: () => child.stdin.destroy(),
    ownerReportsEnd: true,
  });
  const end = (text: string) => {
    if (isGone) return;
    const output = lastLine === '' ? '' : `: ${lastLine}`;
    lost.reject(new TunnelFailure('proxy-failed', `proxyCommand ${text}${output}`));
    isGone = true;
    // A child process may hold its output for ever.
    for (const pipe of [child.stdin, child.stdout, child.stderr]) pipe.destroy();
    stream.destroy();
    gone.resolve();
  };
  child.once('error', (error) => end(`could not be started: ${error.message}`));
  // Its last line is mostly there when it ends; where another process holds its output, it is not waited for long.
  const howItEnded = (code: number | null, signal: NodeJS.Signals | null) =>
    outputClosed ? 'closed its output' : signal === null ? `ended with exit code ${code}` : `was ended by ${signal}`;
  child.once('close', (code, signal) => end(howItEnded(code, signal)));
  child.once('exit', (code, signal) => clock.timer(PATIENCE_MS, () => end(howItEnded(code, signal))));
  // The command may stay although its output has ended.
  child.stdout.once('end', () => {
    clock.timer(PATIENCE_MS, () => {
      outputClosed = child.exitCode === null && child.signalCode === null;
      kill('SIGTERM');
    });
  });

  return {
    stream,
    /** Rejects with proxy-failed when the command has ended. */
    lost: lost.promise,
    /** Ends the command and all processes that it started; resolves when they are gone. */
    destroy: async (): Promise<void> => {
      kill('SIGTERM');
      const cancels = [
        clock.timer(PATIENCE_MS, () => kill('SIGKILL')),
        clock.timer(2 * PATIENCE_MS, () => end('did not end')),
      ];
      child.stdout.resume();
      await gone.promise;
      for (const cancel of cancels) cancel();
      kill('SIGKILL');
    },
  };

  function kill(name: NodeJS.Signals): void {
    const { pid } = child;
    // Also after the command itself has ended: its children may be there still.
    if (pid === undefined) return;
    try {
      process.kill(-pid, name);
    } catch {
      // They have just ended.
    }
  }
}

function spawnShell(command: string): ChildProcessWithoutNullStreams {
  const failure = (cause: unknown) =>
    new TunnelFailure('proxy-failed', `proxyCommand could not be started: ${errorText(cause)}`, { cause });
  let child: ChildProcessWithoutNullStreams;
  try {
    // In a process group of its own, so that the shell's children end with it.
    child = spawn('/bin/sh', ['-c', `exec ${command}`], { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
  } catch (error) {
    throw failure(error); // for example, no memory to fork
  }
  // Where the process has no descriptor left there are no pipes; why, comes with an event.
  if ((child.stdin as Writable | undefined) === undefined) {
    child.once('error', () => {});
    throw failure('too many open files');
  }
  return child;
}

const MAX_LINES = 20;
const MAX_STDERR = 4096;
const PATIENCE_MS = 300;

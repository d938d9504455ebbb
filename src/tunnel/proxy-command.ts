import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { deferred } from '../lib/abort.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import { printable } from '../lib/text.ts';
import { TunnelFailure } from './failure.ts';
import { type Wire, wireOf } from './wire.ts';

export interface ProxyCommand {
  readonly wire: Wire;
  /** Rejects with proxy-failed when the command has ended. */
  readonly lost: Promise<never>;
  /** Ends the command and all that it started; resolves when it is gone. */
  destroy(): Promise<void>;
}

/**
 * Runs a command whose standard input and output lead to the server (ssh_config(5), ProxyCommand). Always with sh: a service's
 * user may have a shell that lets nobody in. What it says on standard error is logged, with a bound.
 */
export function startProxyCommand(command: string, log: Logger, clock: Clock): ProxyCommand {
  // In a process group of its own, so that what the shell starts ends with it.
  const child = spawn('/bin/sh', ['-c', `exec ${command}`], { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
  const lost = deferred<never>();
  const gone = deferred<void>();
  let isGone = false;
  let lastWords = '';
  let lines = 0;
  let outputClosed = false;

  createInterface({ input: child.stderr }).on('line', (line) => {
    lastWords = printable(line.trim(), 200);
    lines += 1;
    if (lines <= MAX_LINES) log.warn(`proxyCommand says: ${lastWords}`);
    if (lines === MAX_LINES) log.warn('proxyCommand says more, which is not logged');
  });
  const wire = wireOf({
    readable: child.stdout,
    writable: child.stdin,
    close: () => child.stdin.destroy(),
    held: true,
  });
  const end = (text: string) => {
    const words = lastWords === '' ? '' : `: ${lastWords}`;
    lost.reject(new TunnelFailure('proxy-failed', `proxyCommand ${text}${words}`));
    isGone = true;
    gone.resolve();
    wire.destroy();
  };
  child.once('error', (error) => end(`could not be started: ${error.message}`));
  // After its exit, when its output has been read to the end.
  child.once('close', (code, signal) => {
    if (outputClosed) end('closed its output');
    else end(signal === null ? `ended with exit code ${code}` : `was ended by ${signal}`);
  });
  // Mostly the exit follows at once, and tells more; but one may stay although nothing comes from it any more.
  child.stdout.once('end', () => {
    clock.timer(PATIENCE_MS, () => {
      outputClosed = child.exitCode === null && child.signalCode === null;
      kill('SIGTERM');
    });
  });

  return {
    wire,
    lost: lost.promise,
    destroy: async () => {
      kill('SIGTERM');
      const cancel = clock.timer(PATIENCE_MS, () => kill('SIGKILL'));
      child.stdout.resume();
      await gone.promise;
      cancel();
    },
  };

  function kill(name: NodeJS.Signals): void {
    const { pid } = child;
    // Also after the command itself has ended: what it started may hold its output.
    if (pid === undefined || isGone) return;
    try {
      process.kill(-pid, name);
    } catch {
      // All of it has just ended.
    }
  }
}

const MAX_LINES = 20;
const PATIENCE_MS = 300;

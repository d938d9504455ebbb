import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { descendantsOf, lives, signalAll } from './processes.ts';
import { PATIENCE_MS, until } from './until.ts';

/** A listening sshd in the foreground. */
export interface SshdProcess {
  readonly pid: number;
  /** Waits for something in its log; fails at once when sshd is no longer there. */
  waitForLog<T>(find: () => T | null, what: string, timeoutMs?: number): Promise<T>;
  /** Ends listener and sessions with SIGKILL. */
  end(): Promise<void>;
}

/** Starts sshd and returns once it listens. */
export async function spawnSshd(configFile: string, onLog: (text: string) => void): Promise<SshdProcess> {
  let log = '';
  const child = spawn(sshdPath(), [...IN_FOREGROUND, '-f', configFile], { stdio: ['ignore', 'ignore', 'pipe'] });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log += text;
    onLog(text);
  });
  const killNow = () => void child.kill('SIGKILL');
  process.once('exit', killNow); // also when a test ends with an exception that nobody caught
  child.once('exit', () => process.off('exit', killNow));
  let failed: Error | null = null;
  child.once('error', (error) => (failed = error));

  const sshd: SshdProcess = {
    pid: child.pid ?? -1,
    waitForLog: async (find, what, timeoutMs = PATIENCE_MS) => {
      const over = () => failed !== null || hasExited(child);
      const found = await until(() => (over() ? { value: find() } : wrap(find())), { what, timeoutMs }).catch(
        (error: unknown) => {
          throw new Error(`${String(error)}; sshd's log:\n${log}`, { cause: error });
        },
      );
      if (found.value === null) throw new Error(`sshd ended without ${what}; its log:\n${log}`, { cause: failed });
      return found.value;
    },
    end: async () => {
      if (hasExited(child)) return;
      const gone = new Promise((resolve) => child.once('close', resolve)); // the last session has closed its stderr
      child.kill('SIGSTOP'); // no new session while the others are ended
      const sessions = descendantsOf(sshd.pid);
      signalAll(sessions, 'SIGKILL');
      child.kill('SIGKILL');
      await gone;
      // Its standard error is closed first, what it listens at a moment later.
      await until(() => !sessions.some(lives), { what: 'the end of the sessions of sshd' });
    },
  };
  await sshd
    .waitForLog(() => /Server listening on 127\.0\.0\.1 port/.exec(log), 'start of listening')
    .catch(async (error: unknown) => {
      await sshd.end();
      throw error;
    });
  return sshd;
}

function wrap<T>(value: T | null): { value: T } | null {
  return value === null ? null : { value };
}

function hasExited(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
}

/**
 * It stays in the foreground and logs to standard error. -r: each connection is a fork of it instead of a program that starts anew, which is a
 * third of what a login takes of a processor; since OpenSSH 9.8 it is ignored.
 */
export const IN_FOREGROUND = ['-D', '-e', '-r'] as const;

/** sshd starts itself anew for each connection, or after SIGHUP, and so wants to be called by its full path. */
export function sshdPath(): string {
  const folders = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/usr/local/sbin', '/usr/lib/ssh'];
  const path = folders.map((folder) => join(folder, 'sshd')).find((candidate) => existsSync(candidate));
  if (path === undefined) throw new Error('the tests need OpenSSH: run `sh test/support/prepare.sh`');
  return path;
}

/** OpenSSH's version as a number such as 9.2, or 0 where it does not say. */
export function sshdVersion(): number {
  return (version ??= askVersion());
}

let version: number | null = null;

function askVersion(): number {
  const { stderr } = spawnSync(sshdPath(), ['-V'], { encoding: 'utf8' }); // before 9.4 `-V` is an error that also names the version
  return Number(/OpenSSH_(\d+\.\d+)/.exec(stderr)?.[1] ?? 0);
}

import { spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { orElse } from '../../lib/or-else.ts';
import { shellQuote } from '../../lib/shell-quote.ts';
import type { LaunchdJob } from './service.ts';

/**
 * Starts a process in a session of its own that loads the service if this process exits without having stopped it. Between bootout
 * and bootstrap nothing else would: an installation through the tunnel itself loses its shell there, and all that the shell runs.
 */
export function startRescue(service: LaunchdJob, env: NodeJS.ProcessEnv): { stop(): void } {
  return runAtEnd(loadScript([service]), env);
}

/**
 * Has a script for sh run when this process has exited, in whatever way and after whatever time, without having stopped this. The kernel
 * tells it so: it closes the only other end of the script's input.
 */
export function runAtEnd(script: string, env: NodeJS.ProcessEnv): { stop(): void } {
  const wait = 'cat >/dev/null\nexec </dev/null\n';
  const args = ['-c', `${wait}${script}`, 'tunneld-rescue'];
  const child = spawn('/bin/sh', args, { detached: true, stdio: ['pipe', 'ignore', 'ignore'], env, cwd: '/' });
  child.on('error', () => {}); // the installation continues without it
  child.stdin.on('error', () => {});
  child.unref();
  (child.stdin as Socket).unref();
  return {
    stop: () => {
      const { pid, exitCode } = child;
      // The group: its cat too.
      if (pid !== undefined && exitCode === null)
        orElse(() => process.kill(-pid, 'SIGKILL'), 'it has exited meanwhile');
    },
  };
}

/** For sh: loads these, side by side. */
export function loadScript(jobs: readonly LaunchdJob[]): string {
  const calls = jobs.map(
    ({ target, domain, plist }) => `load ${[target, domain, plist].map(shellQuote).join(' ')} &\n`,
  );
  return `${LOAD}${calls.join('')}wait\n`;
}

/** launchd may list the previous instance until its ExitTimeOut is over: only a service that stays loaded is the new one. */
const LOAD = `load() {
  tries=0; known=0
  while [ $tries -lt 60 ] && [ $known -lt 10 ] && [ -e "$3" ]; do
    launchctl enable "$1"
    if launchctl bootstrap "$2" "$3"; then launchctl kickstart "$1"; return; fi
    if launchctl print "$1"; then known=$((known + 1)); else known=0; fi
    tries=$((tries + 1))
    sleep 2
  done
}
`;

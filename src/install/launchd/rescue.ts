import { spawn } from 'node:child_process';
import { shellQuote } from '../../lib/shell-quote.ts';
import type { LaunchdService } from './service.ts';

/**
 * Starts a process in a session of its own that loads the service if `installer` exits without having stopped it. Between bootout
 * and bootstrap nothing else would: an installation through the tunnel itself loses its shell there, and all that the shell runs.
 */
export function startRescue(
  service: Pick<LaunchdService, 'domain' | 'target' | 'plist'>,
  env: NodeJS.ProcessEnv,
  installer: number = process.pid,
): { stop(): void } {
  return runAtEnd(loadScript([service]), 300, env, installer);
}

/** Has a script for sh run when `installer` has exited without having stopped this, for as long as `patienceS` seconds from now. */
export function runAtEnd(
  script: string,
  patienceS: number,
  env: NodeJS.ProcessEnv,
  installer: number = process.pid,
): { stop(): void } {
  const wait = `tries=0
while kill -0 ${installer}; do
  tries=$((tries + 1)); [ $tries -gt ${patienceS} ] && exit 1
  sleep 1
done
`;
  const args = ['-c', `${wait}${script}`, 'tunneld-rescue'];
  const child = spawn('/bin/sh', args, { detached: true, stdio: 'ignore', env, cwd: '/' });
  child.on('error', () => {}); // the installation continues without it
  child.unref();
  return {
    stop: () => {
      if (child.pid === undefined || child.exitCode !== null) return;
      try {
        process.kill(-child.pid, 'SIGKILL'); // the group: its sleep too
      } catch {
        // it has exited meanwhile
      }
    },
  };
}

/** For sh: loads these, side by side. */
export function loadScript(jobs: readonly Pick<LaunchdService, 'domain' | 'target' | 'plist'>[]): string {
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

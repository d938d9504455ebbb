import { spawn } from 'node:child_process';
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
  const args = ['-c', SCRIPT, 'tunneld-rescue', String(installer), service.target, service.domain, service.plist];
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

/** launchd may list the previous instance until its ExitTimeOut is over: only a service that stays loaded is the new one. */
const SCRIPT = `
tries=0
while kill -0 "$1"; do
  tries=$((tries + 1)); [ $tries -gt 300 ] && exit 1
  sleep 1
done
tries=0; known=0
while [ $tries -lt 60 ] && [ $known -lt 10 ] && [ -e "$4" ]; do
  launchctl enable "$2"
  if launchctl bootstrap "$3" "$4"; then launchctl kickstart "$2"; exit 0; fi
  if launchctl print "$2"; then known=$((known + 1)); else known=0; fi
  tries=$((tries + 1))
  sleep 2
done
`;

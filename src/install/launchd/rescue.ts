import { spawn } from 'node:child_process';
import type { LaunchdService } from './service.ts';

/**
 * A process in a session of its own that loads the service as soon as `installer` has ended without having stopped it. Between
 * bootout and bootstrap nothing else would: the tunnel through which somebody installs ends there, and with it his shell and all
 * that it runs.
 */
export function startRescue(
  service: LaunchdService,
  env: NodeJS.ProcessEnv,
  installer: number = process.pid,
): { stop(): void } {
  const args = ['-c', SCRIPT, 'tunneld-rescue', String(installer), service.target, service.domain, service.plist];
  const child = spawn('/bin/sh', args, { detached: true, stdio: 'ignore', env, cwd: '/' });
  child.on('error', () => {}); // then there is no rescuer; installing goes on without
  child.unref();
  return {
    stop: () => {
      if (child.pid === undefined || child.exitCode !== null) return;
      try {
        process.kill(-child.pid, 'SIGKILL'); // with its sleep
      } catch {
        // it has just ended
      }
    },
  };
}

/** The old service may still be known for as long as its ExitTimeOut: only one that stays is the new one, loaded by somebody else. */
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

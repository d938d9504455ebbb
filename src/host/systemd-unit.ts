import { execFile } from 'node:child_process';

/** The state of tunnel.service as `systemctl show` prints it; null without systemd. */
export async function showUnit(): Promise<string | null> {
  const properties = 'LoadState,ActiveState,UnitFileState,WatchdogUSec';
  return await output('systemctl', ['show', 'tunnel.service', `--property=${properties}`]);
}

/** The time of the service's last line in the journal that this user may read; null where there is none. */
export async function lastLineAt(): Promise<string | null> {
  const which = ['--unit=tunnel', '--identifier=tunneld', '--lines=1'];
  const line = await output('journalctl', [...which, '--quiet', '--no-pager', '--output=short-iso']);
  return /^\S+/.exec(line ?? '')?.[0] ?? null;
}

function output(program: string, args: readonly string[]): Promise<string | null> {
  return new Promise((resolve) => {
    execFile(program, args, { timeout: 5000 }, (error, stdout) => resolve(error === null ? stdout : null));
  });
}

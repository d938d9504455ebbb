import { execFile } from 'node:child_process';

/** What systemd knows of tunnel.service, as `systemctl show` says it; null where there is no systemd. */
export async function showUnit(): Promise<string | null> {
  const properties = ['LoadState', 'ActiveState', 'UnitFileState', 'WatchdogUSec'];
  return await output('systemctl', ['show', 'tunnel.service', ...properties.map((name) => `--property=${name}`)]);
}

/** When the service last wrote a line that this user may read in the journal; null where there is none. */
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

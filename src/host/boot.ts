import { existsSync, readdirSync, statSync } from 'node:fs';
import { uptime } from 'node:os';
import { join } from 'node:path';
import { readIfReadable } from '../lib/files/read-file.ts';
import { orElse } from '../lib/or-else.ts';

/** The present run of the machine, of random(4); empty where the system names none. */
export function bootId(): string {
  return (readIfReadable('/proc/sys/kernel/random/boot_id') ?? '').trim();
}

/** Milliseconds since the machine was started; they also count while it sleeps (CLOCK_BOOTTIME), unlike Clock.now. */
export function sinceBoot(): number {
  return uptime() * 1000;
}

/**
 * Whether the clock of the wall has been set by the network since the machine was started, as systemd-timesyncd(8) records it; null where
 * another program, or none, sets it. A Pi has no battery: until then its clock shows the time at which it was switched off.
 */
export function isClockSynchronised(directory = '/run/systemd/timesync'): boolean | null {
  if (existsSync(join(directory, 'synchronized'))) return true;
  return existsSync(directory) ? false : null;
}

/**
 * The last sign of life of the machine before a moment: the newest file that something wrote in passing (logs, the journal, the clock that
 * timesyncd saves once a minute). Nothing is written for it. In milliseconds since 1970; null where there is none.
 */
export function lastAlive(before: number, directories: readonly string[] = WRITTEN_IN_PASSING): number | null {
  let last: number | null = null;
  for (const directory of directories)
    for (const path of filesOf(directory)) {
      const at = modifiedAt(path);
      if (at !== null && at < before && at > (last ?? 0)) last = at;
    }
  return last;
}

const WRITTEN_IN_PASSING = ['/var/log', '/var/log/journal', '/var/lib/systemd', '/var/lib/systemd/timesync', '/var/db'];

/** Those of a directory, and of the journal those of the directories in it. */
function filesOf(directory: string): readonly string[] {
  const paths = entriesOf(directory);
  return directory.endsWith('/journal') ? [...paths, ...paths.flatMap(entriesOf)] : paths;
}

function entriesOf(directory: string): readonly string[] {
  const names = orElse(() => readdirSync(directory), []);
  return names.slice(0, MAX_FILES).map((name) => join(directory, name));
}

function modifiedAt(path: string): number | null {
  const stats = orElse(() => statSync(path), null);
  return stats?.isFile() === true ? Math.floor(stats.mtimeMs) : null;
}

/** Of one directory: what is looked at is bounded, whatever lies there. */
const MAX_FILES = 500;

import { readdirSync } from 'node:fs';
import { orElse } from '../lib/or-else.ts';

/** What this process has used of the processor, and what it holds at this moment. */
export function processFigures() {
  const { user, system } = process.cpuUsage();
  return {
    cpuSeconds: (user + system) / 1e6,
    residentBytes: process.memoryUsage.rss(),
    // Without the one by which they are listed; 0 where no list is to be had.
    openFileDescriptors: orElse(() => readdirSync('/dev/fd').length - 1, 0),
  };
}

import { readdirSync } from 'node:fs';

/** What this process has used of the processor, and what it holds at this moment. */
export function processFigures(): {
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  readonly openFileDescriptors: number;
} {
  const { user, system } = process.cpuUsage();
  return {
    cpuSeconds: (user + system) / 1e6,
    residentBytes: process.memoryUsage.rss(),
    openFileDescriptors: openDescriptors(),
  };
}

/** Without the one by which they are listed; 0 where no list is to be had. */
function openDescriptors(): number {
  try {
    return readdirSync('/dev/fd').length - 1;
  } catch {
    return 0;
  }
}

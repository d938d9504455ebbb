import { readFileSync } from 'node:fs';

/**
 * Whether the processor computes AES by itself, which makes it the fastest cipher; where not (a Raspberry Pi before the fifth),
 * ChaCha20 is several times as fast. Linux tells in /proc/cpuinfo (`flags` on x86, `Features` on ARM); all of today's Macs do.
 */
export function hasAes(cpuinfo: string | null = readCpuinfo()): boolean {
  return cpuinfo === null || /^(?:flags|Features)\s*:.*\baes\b/m.test(cpuinfo);
}

function readCpuinfo(): string | null {
  try {
    return readFileSync('/proc/cpuinfo', 'latin1');
  } catch {
    return null; // not Linux
  }
}

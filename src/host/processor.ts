import { readIfReadable } from '../lib/files/read-file.ts';

/**
 * Whether the processor has AES instructions, which make AES the fastest cipher; without them (a Raspberry Pi before
 * the fifth) ChaCha20 is several times as fast. Linux lists them in /proc/cpuinfo (`flags` on x86, `Features` on ARM);
 * all current Macs have them.
 */
export function hasAes(cpuinfo: string | null = readIfReadable('/proc/cpuinfo')): boolean {
  return cpuinfo === null || /^(?:flags|Features)\s*:.*\baes\b/m.test(cpuinfo);
}

import { readIfReadable } from '../lib/files/read-file.ts';

/** Ports that the system does not assign by itself, both ends included. */
export interface PortRange {
  readonly low: number;
  readonly high: number;
}

/** Linux has its range in /proc/sys/net/ipv4 (ip(7)); elsewhere it is IANA's. */
export function unassignedPorts(): PortRange {
  const text = readIfReadable('/proc/sys/net/ipv4/ip_local_port_range') ?? '';
  const [low, high] = text.split(/\s+/).map(Number);
  return besides(low || IANA.low, high || IANA.high);
}

const IANA: PortRange = { low: 49_152, high: 65_535 };

/**
 * The ports above the assigned range, where few services listen; those below it where none is left above; any at worst.
 */
export function besides(low: number, high: number): PortRange {
  if (high <= 65_535 - ENOUGH) return { low: Math.max(high + 1, 20_000), high: 65_535 };
  if (low >= 20_000 + ENOUGH) return { low: 20_000, high: low - 1 };
  return { low: 20_000, high: 65_535 };
}

const ENOUGH = 1000;

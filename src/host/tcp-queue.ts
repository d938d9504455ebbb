import { readFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { systemClock } from '../lib/async/clock.ts';

/** The part of a TCP connection that identifies it in the kernel's table. */
export interface Connection {
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
}

/**
 * Bytes that the kernel keeps for this connection until the other end acknowledges them; null where the system does not
 * tell. The table may be a tenth of a second old: many tunnels in doubt at once would each make the kernel print all of
 * it.
 */
export function unacknowledged({ localPort, remoteAddress, remotePort }: Connection): number | null {
  const file = isIPv6(remoteAddress) ? '/proc/net/tcp6' : '/proc/net/tcp';
  const ports = `${localPort} ${remotePort}`;
  const now = systemClock.now();
  const known = tables.get(file);
  // A connection that is missing may be younger than the table.
  if (known !== undefined && now - known.readAt < FRESH_MS && known.queues.has(ports))
    return known.queues.get(ports) ?? null;
  const queues = readQueues(file);
  tables.set(file, { readAt: now, queues });
  return queues.get(ports) ?? null;
}

const FRESH_MS = 100;

/** Keyed by the pair of ports; null where several connections share it. */
type Queues = ReadonlyMap<string, number | null>;

const tables = new Map<string, { readonly readAt: number; readonly queues: Queues }>();

function readQueues(file: string): Queues {
  try {
    return sendQueues(readFileSync(file, 'utf8'));
  } catch {
    return new Map();
  }
}

/**
 * Reads the connections of /proc/net/tcp (proc_net_tcp.txt of the kernel's documentation: `sl local remote st tx:rx
 * ...`, in hexadecimal). Addresses are not compared: two connections with the same pair of ports cannot be told apart.
 */
export function sendQueues(table: string): Queues {
  const queues = new Map<string, number | null>();
  for (const line of table.split('\n')) {
    const row = ROW.exec(line);
    if (row === null) continue;
    const ports = `${hex(row[1])} ${hex(row[2])}`;
    queues.set(ports, queues.has(ports) ? null : hex(row[3]));
  }
  return queues;
}

/** The states with data in flight: ESTABLISHED, and all closing ones but TIME_WAIT (include/net/tcp_states.h). */
const ROW = /^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]+:([0-9A-F]{4}) (?:01|04|05|08|09|0B) ([0-9A-F]{8}):/;

function hex(digits: string | undefined): number {
  return Number.parseInt(digits ?? '', 16);
}

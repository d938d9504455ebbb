import { readFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';

/** A TCP connection, by what tells it from the others in the kernel's table. */
export interface Connection {
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
}

/** Bytes that the kernel holds for this connection until the other end acknowledges them; null where it does not tell. */
export function unacknowledged(connection: Connection): number | null {
  try {
    return sendQueue(
      readFileSync(isIPv6(connection.remoteAddress) ? '/proc/net/tcp6' : '/proc/net/tcp', 'utf8'),
      connection,
    );
  } catch {
    return null;
  }
}

/**
 * Finds it in the text of /proc/net/tcp (proc_net_tcp.txt of the kernel's documentation: `sl local remote st tx:rx ...`, in
 * hexadecimal). Addresses are not compared, two connections with the same pair of ports are told apart by neither.
 */
export function sendQueue(table: string, { localPort, remotePort }: Connection): number | null {
  const found = table
    .split('\n')
    .map((line) => ROW.exec(line))
    .filter((row) => row !== null && hex(row[1]) === localPort && hex(row[2]) === remotePort);
  return found.length === 1 ? hex(found[0]?.[3]) : null;
}

/** With data on the way: ESTABLISHED, and of those that end all but TIME_WAIT (include/net/tcp_states.h). */
const ROW = /^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]+:([0-9A-F]{4}) (?:01|04|05|08|09|0B) ([0-9A-F]{8}):/;

function hex(digits: string | undefined): number {
  return Number.parseInt(digits ?? '', 16);
}

import { closeSync, openSync, readSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { loadAddon } from '../lib/addon.ts';
import { systemClock } from '../lib/async/clock.ts';
import { orElse } from '../lib/or-else.ts';

export interface Connection {
  /** Its file descriptor; null when it is closed. */
  descriptor?(): number | null;
  /** What identifies it in the kernel's table. */
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
}

/**
 * Bytes that the kernel keeps for this connection until the other end acknowledges them; null where the system does not
 * report it. Without the addon they come from the kernel's table, which may be a tenth of a second old, or more where it is long, and
 * of which only the first thousands of connections are read.
 */
export function unacknowledged(connection: Connection): number | null {
  const { addon } = loadAddon();
  const fd = addon === null ? null : (connection.descriptor?.() ?? null);
  const bytes = fd === null ? -1 : addon!.unacknowledged(fd);
  return bytes < 0 ? fromTable(connection) : bytes;
}

const fromTable = tcpQueues({ now: systemClock.now, read: (file) => readTable(file, MOST_BYTES) });

/**
 * Many visitors ask at once, and reading the table takes time for each connection of the machine, which visitors multiply. So it
 * is read again after a tenth of a second at the earliest, and after many times what reading took. A connection that is missing has
 * ended, or is younger than the table: nothing is known of either.
 */
export function tcpQueues({ now, read }: QueuesDeps): (connection: Connection) => number | null {
  const tables = new Map<string, { readonly freshUntil: number; readonly queues: Queues }>();
  return ({ localPort, remoteAddress, remotePort }) => {
    const file = isIPv6(remoteAddress) ? '/proc/net/tcp6' : '/proc/net/tcp';
    const ports = `${localPort} ${remotePort}`;
    const known = tables.get(file);
    const started = now();
    if (known !== undefined && started < known.freshUntil) return known.queues.get(ports) ?? null;
    const queues = sendQueues(read(file));
    const ended = now();
    tables.set(file, { freshUntil: ended + Math.max(FRESH_MS, IDLE_SHARE * (ended - started)), queues });
    return queues.get(ports) ?? null;
  };
}

interface QueuesDeps {
  now(): number;
  /** The kernel's table; empty where there is none. */
  read(file: string): string;
}

const FRESH_MS = 100;
/** At most a twentieth of the time goes into reading it. */
const IDLE_SHARE = 19;

/** Keyed by the pair of ports; null where several connections share it. */
type Queues = ReadonlyMap<string, number | null>;

/** The kernel's table, as far as it is within so many bytes; empty where there is none. */
export function readTable(file: string, mostBytes: number): string {
  return orElse(() => {
    const table = openSync(file, 'r');
    try {
      return readAtMost(table, mostBytes);
    } finally {
      closeSync(table);
    }
  }, '');
}

/** Without the rows of listeners and of what has ended: a keepalive of an idle process must not make it grow by thousands of them. */
function readAtMost(fd: number, mostBytes: number): string {
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  const rows: string[] = [];
  let rest = '';
  for (let left = mostBytes; left > 0;) {
    const bytes = readSync(fd, chunk);
    if (bytes === 0) break;
    left -= bytes;
    const text = rest + chunk.toString('latin1', 0, bytes);
    const end = text.lastIndexOf('\n') + 1;
    rest = text.slice(end);
    const found = text.slice(0, end).match(ROWS);
    // Joined, they do not keep the rest of the text.
    if (found !== null) rows.push(found.join('\n'));
  }
  return rows.join('\n');
}

/** They are read in a few milliseconds, and have about 7000 connections. */
const MOST_BYTES = 1024 * 1024;
/** The kernel fills no more than a page at a time. */
const CHUNK_BYTES = 4096;

/**
 * Reads the connections of /proc/net/tcp (proc_net_tcp.txt of the kernel's documentation: `sl local remote st tx:rx
 * ...`, in hexadecimal). Addresses are not compared: two connections with the same pair of ports cannot be distinguished.
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

const ROWS = new RegExp(ROW.source, 'gm');

function hex(digits: string | undefined): number {
  return Number.parseInt(digits ?? '', 16);
}

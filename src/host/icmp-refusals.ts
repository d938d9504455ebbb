import { readFileSync } from 'node:fs';

/**
 * How many of this machine's packets were answered by ICMP "destination unreachable" so far (RFC 2011 icmpInDestUnreachs, RFC 4293
 * for IPv6), or null where the system does not tell. A firewall that rejects a connection usually says so by this message, a machine
 * on whose port nobody listens by a TCP reset; connect(2) makes ECONNREFUSED of both.
 */
export function icmpRefusals(): number | null {
  try {
    return count(readFileSync('/proc/self/net/snmp', 'utf8')) + count6(readIfThere('/proc/self/net/snmp6'));
  } catch {
    return null;
  }
}

/** Two lines a protocol: names, then numbers. */
function count(table: string): number {
  const [names = [], numbers = []] = table
    .split('\n')
    .filter((line) => line.startsWith('Icmp: '))
    .map((line) => line.split(' '));
  return Number(numbers[names.indexOf('InDestUnreachs')]);
}

function count6(table: string): number {
  return Number(/^Icmp6InDestUnreachs\s+(\d+)$/m.exec(table)?.[1] ?? 0);
}

/** A kernel without IPv6 has no such file. */
function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

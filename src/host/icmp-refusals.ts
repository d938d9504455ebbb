import { readIfReadable } from '../lib/files/read-file.ts';

/**
 * Counts this machine's packets that were answered by ICMP "destination unreachable" so far (RFC 2011
 * icmpInDestUnreachs, RFC 4293 for IPv6); null where the system does not report it. A firewall that rejects a connection
 * usually does so by this message, a machine with a closed port by a TCP reset; connect(2) reports ECONNREFUSED for
 * both.
 */
export function icmpRefusals(): number | null {
  const table = readIfReadable('/proc/self/net/snmp');
  // A kernel without IPv6 does not have the second file.
  return table === null ? null : count(table) + count6(readIfReadable('/proc/self/net/snmp6') ?? '');
}

/** A protocol has two lines: names, then numbers. */
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

import { readFileSync } from 'node:fs';

/**
 * Counts this machine's packets that were answered by ICMP "destination unreachable" so far (RFC 2011
 * icmpInDestUnreachs, RFC 4293 for IPv6); null where the system does not tell. A firewall that rejects a connection
 * usually does so by this message, a machine with a closed port by a TCP reset; connect(2) reports ECONNREFUSED for
 * both.
 */
export function icmpRefusals(): number | null {
  try {
    return count(readFileSync('/proc/self/net/snmp', 'utf8')) + count6(readIfThere('/proc/self/net/snmp6'));
  } catch {
    return null;
  }
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

/** A kernel without IPv6 has no such file. */
function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

import type { Client } from 'ssh2';
import { internalsOf } from './protocol/internals.ts';
import { firstLine } from '../../lib/text.ts';

export type Identification = ReturnType<typeof holdIdentification>;

/**
 * Keeps the first bytes from ssh2 until they hold the server's whole identification (RFC 4253 section 4.2): ssh2 loses
 * some where they come in three chunks or more. Also keeps the first line of a peer that is no SSH server, or is
 * overloaded (`Exceeded MaxStartups`). Call right after client.connect(), before the first byte is read.
 */
export function holdIdentification(client: Client) {
  const { _protocol: protocol } = internalsOf(client);
  const parse = protocol.parse;
  let held = Buffer.alloc(0);
  let seen = false;
  protocol.parse = (chunk, from, to) => {
    held = Buffer.concat([held, chunk.subarray(from, to)]);
    if (!IDENTIFICATION.test(held.toString('latin1'))) {
      if (held.length > MAX_BYTES) throw new Error(`no SSH identification in ${held.length} bytes`);
      return;
    }
    const whole = held;
    seen = true;
    held = Buffer.alloc(0);
    protocol.parse = parse;
    protocol.parse(whole, 0, whole.length);
  };
  return {
    /** Whether the identification is complete. */
    seen: (): boolean => seen,
    /** The first line of a peer that has not identified itself, safe to print; otherwise empty. */
    firstLine: (): string => firstLine(held.toString('utf8')),
  };
}

const IDENTIFICATION = /^SSH-[^\n]*\n/m;

/** Servers may send other lines first; ssh allows eight megabytes of them, while one kilobyte is already unusual. */
const MAX_BYTES = 16 * 1024;

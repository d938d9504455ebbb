import type { OpenChannel, Opening } from './internals.ts';

/** The server does what SSH forbids, or what no honest server does: the connection has to end. */
export class ProtocolViolation extends Error {
  override readonly name = 'ProtocolBreach';
}

/** What is wrong with the server's end of a channel; null where it can be used. */
export function openingFault({ sender, packetSize }: Opening, taken: ReadonlySet<number>): string | null {
  if (taken.has(sender)) return `it opens its channel ${sender} a second time`;
  if (packetSize < MIN_PACKET) return `it takes no packet above ${packetSize} bytes`;
  return null;
}

/** With 0 ssh2 would write for ever, and with a few bytes a single buffer becomes thousands of packets. Nobody has less than 4 KiB. */
const MIN_PACKET = 256;

/** What is wrong with data that came in; null where it may be taken. */
export function dataFault(
  { incoming, readableHighWaterMark }: Pick<OpenChannel, 'incoming' | 'readableHighWaterMark'>,
  bytes: number,
): string | null {
  if (bytes > MAX_DATA) return `it sends ${bytes} bytes in one packet, above the ${MAX_DATA} it was told`;
  const beyond = bytes - incoming.window;
  return beyond > Math.max(MAX_DATA, readableHighWaterMark * GRACE)
    ? `it sends ${beyond} bytes beyond the window of a channel`
    : null;
}

/** As all channels of ssh2 are opened (PACKET_SIZE in its Channel.js). */
const MAX_DATA = 32 * 1024;

/**
 * OpenSSH lets a tenth of a window pass before it hangs up (channel_input_data in channels.c): here a fifth of what may wait, which is
 * half of the window, or a packet.
 */
const GRACE = 0.2;

/** What is wrong with more window (RFC 4254 section 5.2); null where it may be added. */
export function windowFault({ outgoing }: Pick<OpenChannel, 'outgoing'>, bytes: number): string | null {
  return outgoing.window + bytes > MAX_WINDOW ? 'it opens the window of a channel beyond 4 GiB' : null;
}

const MAX_WINDOW = 2 ** 32 - 1;

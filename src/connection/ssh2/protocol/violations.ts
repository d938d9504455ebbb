import type { OpenChannel, Opening } from './internals.ts';

/** The server does what SSH forbids, or what no honest server does: the connection must end. */
export class ProtocolViolation extends Error {
  override readonly name = 'ProtocolViolation';
}

/** The fault of the server's end of a channel; null where there is none. */
export function openingFault({ sender, packetSize }: Opening, taken: ReadonlySet<number>): string | null {
  if (taken.has(sender)) return `it opens its channel ${sender} a second time`;
  if (packetSize < MIN_PACKET) return `it accepts no packet above ${packetSize} bytes`;
  return null;
}

/**
 * With 0 ssh2 would loop for ever, and with a few bytes one buffer becomes thousands of packets. Real servers have at
 * least 4 KiB.
 */
const MIN_PACKET = 256;

/** The fault of incoming data; null where there is none. */
export function dataFault(
  { incoming, readableHighWaterMark }: Pick<OpenChannel, 'incoming' | 'readableHighWaterMark'>,
  bytes: number,
): string | null {
  if (bytes > MAX_DATA) return `it sends ${bytes} bytes in one packet, above the agreed ${MAX_DATA}`;
  const beyond = bytes - incoming.window;
  return beyond > Math.max(MAX_DATA, readableHighWaterMark * GRACE)
    ? `it sends ${beyond} bytes beyond the window of a channel`
    : null;
}

/** The packet size of all channels of ssh2 (PACKET_SIZE in its Channel.js). */
const MAX_DATA = 32 * 1024;

/**
 * OpenSSH tolerates a tenth of a window (channel_input_data in channels.c): here a fifth of what may wait, which is
 * half of the window, or a packet.
 */
const GRACE = 0.2;

/** The fault of a window adjustment (RFC 4254 section 5.2); null where there is none. */
export function windowFault({ outgoing }: Pick<OpenChannel, 'outgoing'>, bytes: number): string | null {
  return outgoing.window + bytes > MAX_WINDOW ? 'it opens the window of a channel beyond 4 GiB' : null;
}

const MAX_WINDOW = 2 ** 32 - 1;

import type { Channel } from '../../connection/ssh/connection.ts';

/** What the server's window did not take of a read: it is sent, past the channel's stream, when the window opens. */
export interface UnsentRest {
  /** Whether something is kept: until it is sent nothing else may be. */
  waits(): boolean;
  /** Keeps a copy of these bytes; false where they wait for something else than the window, or behind what is kept. */
  keep(memory: Buffer, start: number, end: number): boolean;
  /** Writes what is kept to the stream, in front of what follows there. */
  toStream(): void;
}

/** `onSent` is called when nothing is kept any more. */
export function createUnsentRest(channel: Channel, onSent: () => void): UnsentRest {
  let memory = EMPTY;
  let start = 0;
  let end = 0;
  const drop = () => {
    giveBack(memory);
    memory = EMPTY;
    start = end = 0;
  };
  const toStream = () => {
    if (start === end) return;
    // The stream keeps what it is given.
    const isShared = memory.length === SPARE_BYTES;
    const rest = isShared ? Buffer.from(memory.subarray(start, end)) : memory.subarray(start, end);
    drop();
    if (channel.writable) channel.write(rest, onSent);
  };
  const send = () => {
    if (start === end) return;
    start += channel.sendNow?.(memory, start, end) ?? 0;
    if (start === end) {
      drop();
      onSent();
    } else if (channel.onceWindowOpens?.(send) !== true) toStream();
  };
  return {
    waits: () => start < end,
    keep: (from, begin, to) => {
      if (start < end || channel.onceWindowOpens?.(send) !== true) return false;
      memory = memoryOf(to - begin);
      [start, end] = [0, from.copy(memory, 0, begin, to)];
      return true;
    },
    toStream,
  };
}

/**
 * For all channels, used again: a transfer that the server slows down needs one for every few reads, and fresh ones have Node.js collect
 * garbage. Who finds none gets memory of the right size, because a visitor may wait for hours.
 */
const spare: Buffer[] = [];
let made = 0;
const MOST_SPARE = 2;
/** The largest read. */
const SPARE_BYTES = 256 * 1024;

function memoryOf(bytes: number): Buffer {
  if (bytes > SPARE_BYTES || (spare.length === 0 && made === MOST_SPARE)) return Buffer.allocUnsafeSlow(bytes);
  const found = spare.pop();
  if (found !== undefined) return found;
  made += 1;
  return Buffer.allocUnsafeSlow(SPARE_BYTES);
}

function giveBack(memory: Buffer): void {
  if (memory.length === SPARE_BYTES && spare.length < MOST_SPARE) spare.push(memory);
}

const EMPTY: Buffer = Buffer.alloc(0);

import type { Internals, OpenChannel } from './internals.ts';

/** Collects small messages for a reader that is slow. */
export interface SmallMessages {
  /** Adds a message to those that wait; false where it is to be passed on as it is. */
  take(ours: number, channel: OpenChannel, data: Buffer): boolean;
  /** Passes on what was collected. */
  pass(ours: number): void;
  /** How many bytes wait here. */
  keptOf(ours: number): number;
  forget(ours: number): void;
}

/**
 * Each message that waits in a stream is an object of 150 bytes, so that a window of single bytes would be 300 MiB:
 * behind waiting data small messages are collected, and the stream gets them with the next read.
 */
export function coalesceSmall({ _protocol: protocol }: Internals): SmallMessages {
  const kept = new Map<number, { readonly channel: OpenChannel; bytes: Buffer; length: number }>();
  const onData = protocol._handlers.CHANNEL_DATA;
  const pass = (ours: number) => {
    const one = kept.get(ours);
    if (one === undefined || one.length === 0) return;
    const bytes = one.bytes.subarray(0, one.length);
    [one.bytes, one.length] = [EMPTY, 0];
    one.channel.incoming.window += bytes.length; // ssh2 removes the channel
    onData(protocol, ours, bytes);
  };
  const keepFor = (ours: number, channel: OpenChannel) => {
    const one = { channel, bytes: EMPTY, length: 0 };
    kept.set(ours, one);
    const read = channel.read;
    const readAll: typeof read = (size) => {
      // read(0) is Node's own and takes nothing.
      if (size !== 0) pass(ours);
      return read.call(channel, size);
    };
    channel.read = readAll;
    return one;
  };
  return {
    take: (ours, channel, data) => {
      if (channel.readableLength === 0 || data.length >= SMALL) {
        pass(ours);
        return false;
      }
      const one = kept.get(ours) ?? keepFor(ours, channel);
      if (one.length + data.length > 2 * SMALL) pass(ours);
      const length = one.length + data.length;
      if (length > one.bytes.length)
        one.bytes = Buffer.concat([one.bytes.subarray(0, one.length)], Math.min(2 * SMALL, Math.max(256, 2 * length)));
      one.bytes.set(data, one.length);
      one.length = length;
      channel.incoming.window -= data.length;
      return true;
    },
    pass,
    keptOf: (ours) => kept.get(ours)?.length ?? 0,
    forget: (ours) => kept.delete(ours),
  };
}

/** A copy of this size costs next to nothing. */
export const SMALL = 8 * 1024;

const EMPTY = Buffer.alloc(0);

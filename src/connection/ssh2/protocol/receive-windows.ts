import type { Client } from 'ssh2';
import { internalsOf, type Internals, type OpenChannel } from './internals.ts';

/**
 * Bounds what a server can make us keep for visitors and targets that do not read, over all channels of a connection: ssh2 lets each
 * have 2 MiB and as much again on the way, so that a thousand of them would be gigabytes. Few channels have all of that, many have less,
 * and one that moves gets more. To be called right after client.connect().
 */
export function shareWindows(client: Client): void {
  const internals = internalsOf(client);
  const { _protocol: protocol, _chanMgr: table } = internals;
  const { _handlers: handlers, channelOpenConfirm, channelWindowAdjust } = protocol;
  const shares = createShares();

  protocol.channelOpenConfirm = (theirs, ours, _window, packet) => {
    const channel = table.get(ours);
    const share = shares.open(ours, theirs);
    if (typeof channel === 'object') limit(channel, share, share);
    channelOpenConfirm.call(protocol, theirs, ours, share, packet);
  };
  shareOpened(internals, shares);
  protocol.channelWindowAdjust = (theirs, bytes) => {
    const ours = shares.numberOf(theirs);
    const channel = ours === null ? undefined : table.get(ours);
    if (ours === null || typeof channel !== 'object') {
      channelWindowAdjust.call(protocol, theirs, bytes);
      return;
    }
    const share = shares.moves(ours);
    // ssh2 has added it already.
    const left = channel.incoming.window - bytes;
    const grant = Math.max(0, share - left);
    const worthwhile = grant >= share / 2;
    limit(channel, share, worthwhile ? left + grant : left);
    if (worthwhile) channelWindowAdjust.call(protocol, theirs, grant);
  };
  const small = gatherSmall(internals);
  const onData = handlers.CHANNEL_DATA;
  handlers.CHANNEL_DATA = (self, ours, data) => {
    const channel = table.get(ours);
    if (typeof channel === 'object' && small.take(ours, channel, data)) return;
    const waits = typeof channel === 'object' && channel.readableLength > 0;
    // A view keeps all of the 64 KiB that were read with it.
    onData(self, ours, waits || data.length < SMALL ? Buffer.from(data) : data);
  };
  const { CHANNEL_EOF: onEnd, CHANNEL_CLOSE: onClose } = handlers;
  handlers.CHANNEL_EOF = (self, ours) => {
    small.pass(ours);
    onEnd(self, ours);
  };
  handlers.CHANNEL_CLOSE = (self, ours) => {
    small.pass(ours);
    onClose(self, ours);
    small.forget(ours);
    shares.close(ours);
  };
}

/** What is copied in no time. */
const SMALL = 8 * 1024;

/** What came in small messages for somebody who does not read. */
interface SmallMessages {
  /** Keeps this one with those before it, as one; false where it is to be passed on as it is. */
  take(ours: number, channel: OpenChannel, data: Buffer): boolean;
  /** Passes on what is kept. */
  pass(ours: number): void;
  forget(ours: number): void;
}

/**
 * Each message that waits in a stream is an object of 150 bytes, so that a window of single bytes would be 300 MiB: behind what waits
 * already, small ones are put together, and the stream gets them with the next read.
 */
function gatherSmall({ _protocol: protocol }: Internals): SmallMessages {
  const kept = new Map<number, { readonly channel: OpenChannel; bytes: Buffer; length: number }>();
  const onData = protocol._handlers.CHANNEL_DATA;
  const pass = (ours: number) => {
    const one = kept.get(ours);
    if (one === undefined || one.length === 0) return;
    const bytes = one.bytes.subarray(0, one.length);
    [one.bytes, one.length] = [EMPTY, 0];
    one.channel.incoming.window += bytes.length; // ssh2 takes it away
    onData(protocol, ours, bytes);
  };
  const keepFor = (ours: number, channel: OpenChannel) => {
    const one = { channel, bytes: EMPTY, length: 0 };
    kept.set(ours, one);
    const read = channel.read;
    channel.read = (size) => {
      // read(0) is Node's own and takes nothing.
      if (size !== 0) pass(ours);
      return read.call(channel, size);
    };
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
    forget: (ours) => kept.delete(ours),
  };
}

const EMPTY = Buffer.alloc(0);

/** The channels that we open. */
function shareOpened({ _protocol: protocol, _chanMgr: table }: Internals, shares: Shares): void {
  const { _handlers: handlers } = protocol;
  for (const open of ['directTcpip', 'openssh_directStreamLocal'] as const) {
    const send = protocol[open];
    protocol[open] = (ours, _window, ...rest) => send.call(protocol, ours, shares.open(ours, null), ...rest);
  }
  const onConfirmed = handlers.CHANNEL_OPEN_CONFIRMATION;
  handlers.CHANNEL_OPEN_CONFIRMATION = (self, opening) => {
    const share = shares.confirm(opening.recipient, opening.sender);
    onConfirmed(self, opening);
    const channel = table.get(opening.recipient);
    if (share !== null && typeof channel === 'object') limit(channel, share, share);
  };
  const onRefused = handlers.CHANNEL_OPEN_FAILURE;
  handlers.CHANNEL_OPEN_FAILURE = (self, ours, ...rest) => {
    shares.close(ours);
    onRefused(self, ours, ...rest);
  };
}

/** `share` is what may wait unread before no more window is given, `window` what the server may send. */
function limit(channel: OpenChannel, share: number, window: number): void {
  channel.incoming.window = window;
  channel._readableState.highWaterMark = share;
}

/** How much each channel may have on its way; by our numbers for them. */
interface Shares {
  open(ours: number, theirs: number | null): number;
  /** The server's number for one that we have opened; null where it has no share. */
  confirm(ours: number, theirs: number): number | null;
  /** Its share from now on: what was sent on it is being read. */
  moves(ours: number): number;
  numberOf(theirs: number): number | null;
  close(ours: number): void;
}

function createShares(): Shares {
  const shares = new Map<number, { bytes: number; theirs: number | null }>();
  const numbers = new Map<number, number>();
  /** Above the least that each has. */
  let total = 0;
  return {
    open: (ours, theirs) => {
      const bytes = firstShare(BUDGET - total);
      total += bytes - LEAST;
      shares.set(ours, { bytes, theirs });
      if (theirs !== null) numbers.set(theirs, ours);
      return bytes;
    },
    confirm: (ours, theirs) => {
      const share = shares.get(ours);
      if (share === undefined) return null;
      share.theirs = theirs;
      numbers.set(theirs, ours);
      return share.bytes;
    },
    moves: (ours) => {
      const share = shares.get(ours);
      if (share === undefined) return FULL;
      const others = total - (share.bytes - LEAST);
      share.bytes = nextShare(BUDGET - others);
      total = others + share.bytes - LEAST;
      return share.bytes;
    },
    numberOf: (theirs) => numbers.get(theirs) ?? null,
    close: (ours) => {
      const share = shares.get(ours);
      if (share === undefined) return;
      total -= share.bytes - LEAST;
      shares.delete(ours);
      if (share.theirs !== null) numbers.delete(share.theirs);
    },
  };
}

/** Of a connection, besides the least that each has; as much again may be unread. */
const BUDGET = 32 * 1024 * 1024;

/** ssh2's own window, as OpenSSH's. */
const FULL = 2 * 1024 * 1024;
const SOME = 256 * 1024;
const LEAST = 16 * 1024;

/** What is free at last is for those that move. */
function firstShare(free: number): number {
  if (free > BUDGET * 0.75) return FULL;
  return free > BUDGET * 0.25 ? SOME : LEAST;
}

function nextShare(free: number): number {
  return Math.min(FULL, Math.max(LEAST, Math.floor(free / 4)));
}

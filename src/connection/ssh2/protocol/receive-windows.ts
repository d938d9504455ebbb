import type { Client } from 'ssh2';
import { createSlots } from '../../../lib/slots.ts';
import { isLent, keepLent } from '../../../net/streams/lent-memory.ts';
import { createReceiveAccount, type ReceiveAccount } from './receive-account.ts';
import { internalsOf, type Internals, type OpenChannel, type Protocol } from './internals.ts';
import { coalesceSmall, SMALL, type SmallMessages } from './small-messages.ts';

/**
 * Bounds the data that waits for slow visitors and targets, over all channels of a connection and, by `account`, over
 * all connections: ssh2 grants each channel 2 MiB and as much again in flight, so that a thousand of them would be
 * gigabytes. Few channels get all of that, many get less, and an active one gets more. `onOverload` is called where
 * this connection keeps more than any other and there is no room for all. `most` says how large the window of one of our
 * channels may be now. Call right after client.connect().
 */
export function shareWindows(
  client: Client,
  onOverload: (overload: Error) => void,
  most: (ours: number) => number,
  account: ReceiveAccount = ofThisProcess,
): void {
  const internals = internalsOf(client);
  const { _protocol: protocol, _chanMgr: table } = internals;
  const { _handlers: handlers, channelOpenConfirm, channelWindowAdjust } = protocol;
  let overload: Error | null = null;
  const member = account.join({
    unread: () => shares.unread(),
    leave: (bytes) => {
      const size = `${Math.round(bytes / MIB)} MiB`;
      overload = new Error(`${size} from the server wait to be read, which is more than there is room for`);
      onOverload(overload);
    },
  });
  const shares = createShares(member, (ours, channel) => unreadOf(channel) + small.keptOf(ours));
  client.once('close', () => member.end());

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
    // ssh2 has already added the refill.
    const left = channel.incoming.window - bytes;
    channel.incoming.window = left;
    const next = shares.moves(ours, left);
    if (next === null) return;
    const share = Math.min(next, most(ours));
    const grant = Math.max(0, share - left);
    const worthwhile = grant >= Math.min(REFILL, share / 2);
    limit(channel, share, worthwhile ? share : left);
    if (!worthwhile) return;
    shares.granted(ours, share);
    channelWindowAdjust.call(protocol, theirs, grant);
  };
  const small = coalesceSmall(internals);
  const waits = (ours: number, channel: OpenChannel) => {
    shares.waits(ours, channel);
    if (overload !== null) throw overload;
  };
  receiveData(internals, small, waits);
  const { CHANNEL_EOF: onEnd, CHANNEL_CLOSE: onClose } = handlers;
  handlers.CHANNEL_EOF = (self, ours) => {
    small.pass(ours);
    onEnd(self, ours);
  };
  handlers.CHANNEL_CLOSE = (self, ours) => {
    const channel = table.get(ours);
    small.pass(ours);
    onClose(self, ours);
    small.forget(ours);
    const over = shares.close(ours);
    // Earlier data may still wait for a reader.
    if (typeof channel === 'object' && channel.readableLength > 0) channel.once('close', over);
    else over();
  };
}

/** Calls `waits` behind all data of a channel: it may have been taken at once. */
function receiveData(
  { _protocol: protocol, _chanMgr: table }: Internals,
  small: SmallMessages,
  waits: (ours: number, channel: OpenChannel) => void,
): void {
  const { _handlers: handlers } = protocol;
  const onData = handlers.CHANNEL_DATA;
  handlers.CHANNEL_DATA = (self, ours, data) => {
    const channel = table.get(ours);
    if (typeof channel !== 'object') return;
    if (!small.take(ours, channel, data)) {
      const passes = isLent(data) ? passesAtOnce(channel) : isWorthAView(channel, data);
      onData(self, ours, passes ? data : copyOf(data));
      // Nobody has taken it.
      if (passes && channel.readableLength > 0 && isLent(data)) keepLent()();
    }
    waits(ours, channel);
  };
  protocol.takeData = (ours, memory, start, end) => {
    const channel = table.get(ours);
    if (typeof channel !== 'object' || small.keptOf(ours) > 0 || !passesBy(channel, used, memory, start, end))
      return false;
    waits(ours, channel);
    return true;
  };
  /** No Set: V8 would keep what was in it until a full garbage collection. */
  const used: OpenChannel[] = [];
  /** One message for a channel, however many packets the read had of it. */
  protocol.grantWindows = () => {
    if (used.length === 0) return;
    for (const channel of used) refillOrWait(protocol, channel);
    used.length = 0;
  };
}

/** Its listener gets the data now, and knows that it is lent. */
function passesAtOnce(channel: OpenChannel): boolean {
  return channel.takesLent === true && channel.readableFlowing === true && channel.readableLength === 0;
}

/**
 * Passes data on by `onLent`, as ssh2 would through the stream; false where that is not set, or where ssh2 drops it. `used` gets the channel
 * where much of its window is used up.
 */
function passesBy(channel: OpenChannel, used: OpenChannel[], memory: Buffer, start: number, end: number): boolean {
  const { incoming, onLent } = channel;
  if (onLent == null || incoming.window === 0 || incoming.state !== 'open' || !passesAtOnce(channel)) return false;
  incoming.window -= end - start;
  onLent(memory, start, end);
  // It may be in it twice, where packets of several take turns: it is granted no more than its share for that.
  if (isToRefill(channel) && used.at(-1) !== channel) used.push(channel);
  return true;
}

/** Refills a window, once its channel is read again where it is not. */
function refillOrWait(protocol: Protocol, channel: OpenChannel): void {
  if (channel.readableFlowing === true) refill(protocol, channel);
  else if (!resuming.has(channel)) {
    resuming.add(channel);
    channel.once('resume', () => {
      resuming.delete(channel);
      refill(protocol, channel);
    });
  }
}

/** Those that are refilled when they are read again. */
const resuming = new WeakSet<OpenChannel>();

/** As windowAdjust() of ssh2, where its stream is read. */
function refill(protocol: Protocol, channel: OpenChannel): void {
  const { incoming, outgoing } = channel;
  if (!isToRefill(channel) || outgoing.state === 'closed') return;
  const bytes = FULL - incoming.window;
  incoming.window = FULL;
  protocol.channelWindowAdjust(outgoing.id, bytes);
}

function isToRefill({ incoming }: OpenChannel): boolean {
  return incoming.window <= FULL - REFILL;
}

/** A view keeps the whole 64 KiB chunk in memory. */
function isWorthAView(channel: OpenChannel, data: Buffer): boolean {
  return channel.readableLength === 0 && data.length >= SMALL && channel.readableHighWaterMark >= FULL / 2;
}

/** A copy with memory of its own: a piece of Node's pool would keep the whole pool. */
function copyOf(data: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(data.length);
  data.copy(copy);
  return copy;
}

const MIB = 1024 * 1024;

/**
 * Half of the windows are for a single connection, and half of its own window again may wait for each channel. A server
 * that respects its windows reaches the limit of unread data only with the smallest windows of thousands of channels.
 */
const ofThisProcess = createReceiveAccount({ windows: 32 * MIB, unread: 44 * MIB });

/** Shares windows among the channels that we open. */
function shareOpened({ _protocol: protocol, _chanMgr: table }: Internals, shares: Shares): void {
  const { _handlers: handlers } = protocol;
  const { directTcpip, openssh_directStreamLocal: directStreamLocal } = protocol;
  // By their names, for the reason that protocol-guard.ts has.
  protocol.directTcpip = (ours, _window, ...rest) => directTcpip.call(protocol, ours, shares.open(ours, null), ...rest);
  protocol.openssh_directStreamLocal = (ours, _window, ...rest) =>
    directStreamLocal.call(protocol, ours, shares.open(ours, null), ...rest);
  const onConfirmed = handlers.CHANNEL_OPEN_CONFIRMATION;
  handlers.CHANNEL_OPEN_CONFIRMATION = (self, opening) => {
    const share = shares.confirm(opening.recipient, opening.sender);
    onConfirmed(self, opening);
    const channel = table.get(opening.recipient);
    if (share !== null && typeof channel === 'object') limit(channel, share, share);
  };
  const onRefused = handlers.CHANNEL_OPEN_FAILURE;
  handlers.CHANNEL_OPEN_FAILURE = (self, ours, ...rest) => {
    shares.close(ours)();
    onRefused(self, ours, ...rest);
  };
}

/** A window that is half used is refilled as long as at most half as much waits. */
function limit(channel: OpenChannel, share: number, window: number): void {
  channel.incoming.window = window;
  channel._readableState.highWaterMark = Math.floor(share / 2);
}

/** How much each channel may have in flight; by our numbers. */
interface Shares {
  open(ours: number, theirs: number | null): number;
  /** The server has confirmed a channel that we open; returns its share, null where it has none. */
  confirm(ours: number, theirs: number): number | null;
  /**
   * Returns the channel's new share: its data is being read, and the server may still fill what is `left` of its window. Null where it has used
   * little of what it was granted last: else it would take room from others.
   */
  moves(ours: number, left: number): number | null;
  /** The channel's window was made so large. */
  granted(ours: number, window: number): void;
  /** Data came in on it. */
  waits(ours: number, channel: OpenChannel): void;
  /** The unread bytes of all channels. */
  unread(): number;
  numberOf(theirs: number): number | null;
  /** Frees its number; its unread data counts until the returned function is called. */
  close(ours: number): () => void;
}

interface Share {
  bytes: number;
  /** Its window after the last grant. */
  window: number;
  readonly ours: number;
  theirs: number | null;
  /** Null before its first data. */
  channel: OpenChannel | null;
  /** Its unread bytes, as last reported. */
  unread: number;
  /** Its number among those that are kept. */
  kept: number;
}

function createShares(
  member: ReturnType<ReceiveAccount['join']>,
  unreadNow: (ours: number, channel: OpenChannel) => number,
): Shares {
  const shares: (Share | undefined)[] = [];
  const numbers = new Map<number, number>();
  /** Including those that are closed and not read to the end. */
  const kept = createSlots<Share>();
  /** The shares beyond each channel's least. */
  let total = 0;
  let unread = 0;
  const change = (share: Share, bytes: number) => {
    total += bytes - share.bytes;
    share.bytes = bytes;
    member.hold(total);
  };
  const count = (share: Share, bytes: number) => {
    unread += bytes - share.unread;
    share.unread = bytes;
  };
  const end = (share: Share) => {
    if (kept.get(share.kept) !== share) return;
    kept.remove(share.kept);
    change(share, LEAST);
    count(share, 0);
    member.wait(unread);
  };
  return {
    open: (ours, theirs) => {
      const share: Share = { bytes: LEAST, window: 0, ours, theirs, channel: null, unread: 0, kept: 0 };
      change(share, firstShare(roomOf(member) - total, roomOf(member)));
      share.window = share.bytes;
      shares[ours] = share;
      share.kept = kept.add(share);
      if (theirs !== null) numbers.set(theirs, ours);
      return share.bytes;
    },
    confirm: (ours, theirs) => {
      const share = shares[ours];
      if (share === undefined) return null;
      share.theirs = theirs;
      numbers.set(theirs, ours);
      return share.bytes;
    },
    granted: (ours, window) => {
      const share = shares[ours];
      if (share !== undefined) share.window = window;
    },
    moves: (ours, left) => {
      const share = shares[ours];
      if (share === undefined || share.window - left < Math.min(REFILL, share.window / 2)) return null;
      const free = roomOf(member) - total + share.bytes - LEAST;
      const next = nextShare(free, roomOf(member), share.window);
      // What is left takes its room until the server has filled it.
      change(share, Math.max(next, left));
      return next;
    },
    waits: (ours, channel) => {
      const share = shares[ours];
      if (share === undefined) return;
      share.channel = channel;
      count(share, unreadNow(ours, channel));
      member.wait(unread);
    },
    unread: () => {
      for (const [, share] of kept.entries()) {
        if (share.channel !== null) count(share, unreadNow(share.ours, share.channel));
      }
      return unread;
    },
    numberOf: (theirs) => numbers.get(theirs) ?? null,
    close: (ours) => {
      const share = shares[ours];
      if (share === undefined) return () => {};
      shares[ours] = undefined;
      if (share.theirs !== null) numbers.delete(share.theirs);
      return () => end(share);
    },
  };
}

function unreadOf(channel: OpenChannel): number {
  return channel.readableLength + (channel.unsent?.() ?? 0);
}

/** Of memory, per connection, beyond the least share of each channel. */
const MOST = 16 * 1024 * 1024;

function roomOf(member: { room(): number }): number {
  return Math.min(MOST, member.room());
}

/** ssh2's own window, as OpenSSH's. */
const FULL = 2 * 1024 * 1024;
/**
 * So much a transfer uses up at least before it is granted again, at the end of a read; of a small window it is half. With half of a full one, as
 * in ssh2, the server was often done with the rest before.
 */
const REFILL = 256 * 1024;
const LEAST = 16 * 1024;

/** Half of the room is for active channels: one that begins to move much gets a full window, however many others are open that say little. */
function firstShare(free: number, room: number): number {
  if (free > room * (3 / 4)) return bounded(room / 8);
  if (free > room * (9 / 16)) return bounded(room / 64);
  return free > room / 2 ? bounded(room / 256) : LEAST;
}

/**
 * The less is free the smaller the part of it: a window that was granted cannot be taken back, and its channel may be idle from then on. And no
 * more than four times what the channel had, because who types uses up a small window, too, in the course of time; nor than a quarter of the
 * room, of which other connections want some.
 */
function nextShare(free: number, room: number, had: number): number {
  return bounded(Math.min(free ** 2 / (2 * room), room / 4, 4 * had));
}

function bounded(bytes: number): number {
  return Math.min(FULL, Math.max(LEAST, Math.floor(bytes)));
}

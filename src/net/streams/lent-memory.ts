import type { OnReadOpts, Socket } from 'node:net';
import type { Readable } from 'node:stream';
import type { Clock } from '../../lib/async/clock.ts';
import { gatherReads } from './gather-reads.ts';
import { ListenerError } from './guard-listeners.ts';

/**
 * Takes what a socket has read: `memory` between `start` and `end`, which is lent during the call only. The HEADROOM bytes in front
 * of `start` may be overwritten.
 */
export type Take = (memory: Buffer, start: number, end: number) => void;

/** The reading side of a socket with memory that is used again. */
export interface Reader {
  /** From now on what is read goes to `take`, and not into the stream; null: into the stream again. */
  direct(take: Take | null, how?: Reading): void;
}

interface Reading {
  /** How much to read at once. */
  most?(): number;
  /** Whether others may wait for this socket: until more has come (see gather-reads.ts), and while it reads several times. */
  mayWait?(): boolean;
}

/**
 * The `onread` of net.connect() for a socket that reads into memory of its own, or into that of all which have none; a fresh Buffer
 * for each read would be most of a connection's garbage. Until a direct reader is set, the bytes are copied into the stream, which
 * then is like any other. Call `attach` with the socket.
 */
export function readIntoLent(
  whose: 'own' | 'shared',
  clock: Clock,
): { readonly onread: OnReadOpts; attach(socket: Socket): void } {
  const memory = whose === 'own' ? new Memory(true) : SHARED;
  const listeners: ((bytes: number) => void)[] = [];
  let socket: Socket;
  let room = 0;
  let take: Take | null = null;
  let how: Reading = {};
  /** In a row: libuv follows each of them by another read. */
  let fullReads = 0;
  let gather: ((bytes: number) => void) | null = null;
  return {
    onread: {
      buffer: () => {
        const window = memory.window();
        const bytes = how.most?.() ?? window.length;
        room = Math.min(bytes, window.length);
        return room === window.length ? window : window.subarray(0, room);
      },
      callback: (bytes) => {
        for (const listener of listeners) listener(bytes);
        gather?.(bytes);
        if (take !== null && socket.readableLength === 0) {
          fullReads = bytes === room ? fullReads + 1 : 0;
          lend(memory, bytes, take, socket);
          if (fullReads === 0 || (fullReads < MOST_FULL_READS && (how.mayWait?.() ?? isOneReader()))) return true;
          fullReads = 0;
          return letOthersRead(socket);
        }
        return socket.push(Buffer.from(memory.window().subarray(0, bytes)));
      },
    },
    attach: (its) => {
      socket = its;
      const direct: Reader['direct'] = (next, reading = {}) => {
        if (whose === 'shared') countSharing(take, next);
        take = next;
        how = reading;
        gather = next !== null && how.mayWait !== undefined ? gatherReads(its, clock, how.mayWait) : null;
      };
      (its as HasReader)[READER] = { reader: { direct }, listeners };
    },
  };
}

/** Null for a socket that was opened without one, and for another stream. */
export function readerOf(stream: object): Reader | null {
  return (stream as HasReader)[READER]?.reader ?? null;
}

/** The reader of a socket that reads into sharedMemory() by itself, and calls countSharing(). */
export function setReader(socket: object, reader: Reader): void {
  (socket as HasReader)[READER] = { reader, listeners: [] };
}

/** Counts a socket that reads directly into sharedMemory() from now on, or does not any more. */
export function countSharing(before: Take | null, now: Take | null): void {
  sharing += Number(now !== null) - Number(before !== null);
}

/** Whether at most one socket does so, of all targets of visits: with others, one of them may be waited for. */
export function isOneReader(): boolean {
  return sharing < 2;
}

/** The memory into which all sockets read that have none of their own, behind HEADROOM bytes. */
export function sharedMemory(): Buffer {
  SHARED.window();
  return SHARED.all;
}

/** Lends so many bytes that `socket` has read into sharedMemory(). */
export function lendShared(bytes: number, take: Take, socket: { destroy(error: Error): unknown }): void {
  lend(SHARED, bytes, take, socket);
}

/** Calls `listener` with the number of bytes of each read, in whatever way the stream is read. */
export function onBytes(stream: Readable, listener: (bytes: number) => void): void {
  const listeners = (stream as HasReader)[READER]?.listeners;
  if (listeners === undefined) stream.on('data', (chunk: Buffer) => listener(chunk.length));
  else listeners.push(listener);
}

/** Whether these bytes are only lent: who keeps them needs a copy, or keepLent(). */
export function isLent(bytes: Buffer): boolean {
  // Each packet asks it of the whole memory, which is compared first: `buffer` is a call into V8.
  return lent !== null && (bytes === lent || bytes.buffer === lent.buffer);
}

/** All of the memory that is lent now, from its first byte on; null where none is. */
export function lentMemory(): Buffer | null {
  return lent;
}

/** A part of `bytes` for later: a copy where it is lent. */
export function forLater(bytes: Buffer, from: number, to: number): Buffer {
  const part = bytes.subarray(from, to);
  return isLent(bytes) ? Buffer.from(part) : part;
}

/** Whether the memory that is lent now may be kept. */
export function mayKeepLent(): boolean {
  return lending !== null && lending.memory.own && (lent === null || kept < MOST_KEPT);
}

/** Keeps the memory that is lent now: the next read gets another. Call the result when it is not needed any more. */
export function keepLent(): () => void {
  if (lending === null || lent === null) return () => {};
  lending.memory.giveUp();
  lent = null;
  kept += 1;
  let held = true;
  return () => {
    if (held) kept -= 1;
    held = false;
  };
}

/** Calls `action` behind all that this read brings, or at the end of this tick where there is none. */
export function afterRead(action: () => void): void {
  if (lending === null) process.nextTick(action);
  else lending.after.push(action);
}

/** Calls `look` with memory that was lent and is not any more: a test overwrites it. */
export function watchReturns(look: ((memory: Buffer) => void) | null): void {
  onReturn = look;
}

/** In front of what was read: for the begin of a packet whose end has come. More than OpenSSH ever sends in one. */
export const HEADROOM = 40 * 1024;

/** At the socket itself: what a WeakMap has leads back to it, and then only a full garbage collection takes either. */
const READER = Symbol('reader');

interface HasReader {
  [READER]?: { readonly reader: Reader; readonly listeners: ((bytes: number) => void)[] };
}

/** The read that goes on now. */
let lending: { readonly memory: Memory; readonly after: (() => void)[] } | null = null;
/** All of its memory; null once that is kept. */
let lent: Buffer | null = null;
let onReturn: ((memory: Buffer) => void) | null = null;
/** How many sockets read directly into the memory of all. */
let sharing = 0;
/** In 4 reads, at most 3.5 MiB, a fast device is busy for three milliseconds. */
const MOST_FULL_READS = 4;
/** How many pieces are kept, of all sockets: 940 KiB each. */
let kept = 0;
const MOST_KEPT = 8;

/**
 * A read that fills its memory leaves more to read, and libuv would read up to 32 times, megabytes, before it looks at any other socket: this
 * one goes on when the others have had their turn. The false result has Node.js stop reading.
 */
function letOthersRead(socket: Socket): false {
  setImmediate(() => {
    if (!socket.isPaused() && !socket.destroyed) socket._read(0);
  });
  return false;
}

function lend(memory: Memory, bytes: number, take: Take, socket: { destroy(error: Error): unknown }): void {
  const { all } = memory;
  const now = { memory, after: [] as (() => void)[] };
  lending = now;
  lent = all;
  const guarded = (action: () => void) => {
    try {
      action();
    } catch (cause) {
      socket.destroy(new ListenerError('an exception while reading', { cause }));
    }
  };
  guarded(() => take(all, HEADROOM, HEADROOM + bytes));
  // Whatever happened: it may be of other sockets, to be uncorked.
  for (const action of now.after) guarded(action);
  lending = null;
  if (lent !== null) onReturn?.(all);
  lent = null;
  memory.read(bytes);
}

/** Small until a read fills it: most connections bring little most of the time. */
const SMALL = 24 * 1024;
/** Somewhat more than gatherReads() waits for: libuv would follow a full read by another one. */
const LARGE = 896 * 1024;
/** What is sealed at once. */
const OF_ALL = 256 * 1024;

const EMPTY = Buffer.alloc(0);

class Memory {
  /** HEADROOM, and what is read. */
  all = EMPTY;
  /** May it be kept? That of many sockets stays the same: Node asks each for its memory only after its own reads. */
  readonly own: boolean;
  #window = EMPTY;

  constructor(own: boolean) {
    this.own = own;
  }

  /** Where the next read goes. */
  window(): Buffer {
    if (this.#window.length === 0) this.#make(this.own ? SMALL : OF_ALL);
    return this.#window;
  }

  /** So much was read. */
  read(bytes: number): void {
    if (this.own && this.#window.length === bytes && bytes < LARGE) this.#make(LARGE);
  }

  giveUp(): void {
    this.#make(this.#window.length);
  }

  #make(bytes: number): void {
    this.all = Buffer.allocUnsafeSlow(HEADROOM + bytes);
    this.#window = this.all.subarray(HEADROOM);
  }
}

const SHARED = new Memory(false);

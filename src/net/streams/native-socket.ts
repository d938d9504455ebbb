import { EventEmitter } from 'node:events';
import { availableParallelism } from 'node:os';
import { loadAddon, type Addon, type Poll } from '../../lib/addon.ts';
import { deferred } from '../../lib/async/abort.ts';
import type { Clock } from '../../lib/async/clock.ts';
import { createSlots } from '../../lib/slots.ts';
import { systemError } from '../../lib/system-error.ts';
import { AnswerPace, NEAR_MS } from './answer-pace.ts';
import type { DeviceSocket, Listener } from './device-socket.ts';
import { ListenerError } from './guard-listeners.ts';
import { countSharing, HEADROOM, lendShared, setReader, sharedMemory, type Reader, type Take } from './lent-memory.ts';

/**
 * Opens a connection to an address of this machine, for which the kernel needs next to no time, or a moment where the machine is busy. Null
 * where it does not open, and where there is no addon: then it is left to Node.js, which knows why.
 */
export async function connectNative(address: string, port: number, clock: Clock): Promise<NativeSocket | null> {
  const { addon } = loadAddon();
  poll ??= addon?.createPoll(ready, onReady) ?? null;
  if (addon === null || poll === null) return null;
  const fd = addon.connect(address, port);
  if (fd < 0) return null;
  const socket = new NativeSocket(addon, poll, fd, { address, port }, clock);
  if (poll.watch(fd, socket.id, false) && (await socket.opens(clock))) return socket;
  socket.destroy();
  return null;
}

/**
 * A connection past node:net, whose sockets cost half as much again as what the kernel takes for opening and closing one, and leave much of the
 * garbage of a visit. It behaves like a socket of Node.js with allowHalfOpen, in what DeviceSocket has, and as one with guardListeners(). What
 * is written is sent at once, as far as the kernel takes it; what it reads goes into the memory of all (see lent-memory.ts).
 */
export class NativeSocket extends EventEmitter implements DeviceSocket {
  destroyed = false;
  closed = false;
  readableEnded = false;
  writableEnded = false;
  writableFinished = false;
  writableLength = 0;
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** What the kernel's reports of it say. */
  readonly id: number;
  readonly #addon: Addon;
  readonly #poll: Poll;
  readonly #clock: Clock;
  readonly #answers = new AnswerPace();
  /** Null when it is closed: the number may then be that of another. */
  #fd: number | null;
  #take: Take | null = null;
  #most: (() => number) | undefined;
  #isReading = false;
  #isPaused = false;
  /** Whether there may be something to read: the kernel tells it once. */
  #isReadable = false;
  #hasFailed = false;
  #isCorked = false;
  /** Whether the kernel tells when it takes more. */
  #isWatchedForRoom = false;
  #waiting: Waiting[] | null = null;
  /** While it opens. */
  #onReady: (() => void) | null = null;

  constructor(
    addon: Addon,
    poll: Poll,
    fd: number,
    remote: { readonly address: string; readonly port: number },
    clock: Clock,
  ) {
    super();
    this.#addon = addon;
    this.#poll = poll;
    this.#clock = clock;
    this.#fd = fd;
    this.id = open.add(this);
    this.remoteAddress = remote.address;
    this.remotePort = remote.port;
    const direct: Reader['direct'] = (take, how = {}) => {
      countSharing(this.#take, take);
      this.#take = take;
      this.#most = how.most;
    };
    setReader(this, { direct });
  }

  get writable(): boolean {
    return !this.destroyed && !this.writableEnded;
  }

  get descriptor(): number | null {
    return this.#fd;
  }

  /** Whether it is open, now or in a moment. */
  async opens(clock: Clock): Promise<boolean> {
    if (this.#fd === null) return false;
    const isOpen = this.#addon.isOpen(this.#fd);
    if (isOpen !== 0) return isOpen > 0;
    this.#watchForRoom(this.#fd);
    const settled = deferred<void>();
    const cancel = clock.timer(OPENING_MS, settled.resolve);
    this.#onReady = settled.resolve;
    await settled.promise;
    cancel();
    this.#onReady = null;
    return this.#fd !== null && this.#addon.isOpen(this.#fd) > 0;
  }

  override on(event: string, listener: Listener): this {
    super.on(event, listener);
    if (event === 'data' && !this.#isPaused) this.#startReading();
    return this;
  }

  override emit(event: string, ...args: unknown[]): boolean {
    try {
      return super.emit(event, ...args);
    } catch (cause) {
      if (this.#hasFailed) return true;
      this.#hasFailed = true;
      this.emit('error', new ListenerError('an exception in a listener', { cause }));
      this.destroy();
      return true;
    }
  }

  write(chunk: Buffer, onSent: () => void = () => {}): boolean {
    if (!this.writable) {
      process.nextTick(onSent);
      return false;
    }
    const sent = this.#waiting === null && !this.#isCorked ? this.#send(chunk) : 0;
    if (sent === chunk.length && !this.destroyed) {
      onSent();
      return true;
    }
    this.#waiting ??= [];
    this.#waiting.push({ rest: sent === 0 ? chunk : chunk.subarray(sent), onSent });
    this.writableLength += chunk.length - sent;
    return false;
  }

  /** What is small is mostly a question, and its answer often near. */
  sentPast(bytes: number): void {
    if (bytes === 0 || bytes > SMALL) return;
    this.#answers.asked(this.#clock.now());
    if (!this.#answers.isNear() || isAwake || !MAY_STAY_AWAKE) return;
    isAwake = true;
    setImmediate(awaitAnswer, this.#poll, this.#answers);
  }

  cork(): void {
    this.#isCorked = true;
  }

  uncork(): void {
    this.#isCorked = false;
    this.#flush();
  }

  end(): this {
    if (!this.writable) return this;
    this.writableEnded = true;
    this.#isCorked = false;
    this.#flush();
    return this;
  }

  pause(): this {
    this.#isPaused = true;
    this.#isReading = false;
    return this;
  }

  resume(): this {
    this.#isPaused = false;
    this.#startReading();
    return this;
  }

  destroy(error?: Error, reset = false): this {
    if (this.#fd === null) return this;
    this.destroyed = true;
    open.remove(this.id);
    this.#addon.closeSocket(this.#fd, reset);
    this.#fd = null;
    process.nextTick(() => this.#close(error));
    return this;
  }

  resetAndDestroy(): this {
    return this.destroy(undefined, true);
  }

  /** Something has happened (see `createPoll` of the addon). */
  handle(what: number): void {
    this.#onReady?.();
    if ((what & READABLE) !== 0) this.#isReadable = true;
    if ((what & WRITABLE) !== 0) this.#flush();
    this.#read();
  }

  #startReading(): void {
    if (this.#isReading || this.destroyed) return;
    this.#isReading = true;
    if (this.#isReadable) process.nextTick(() => this.#read());
  }

  #read(): void {
    for (let isFirst = true; this.#isReadable && this.#isReading && this.#fd !== null; isFirst = false) {
      const memory = sharedMemory();
      const end = Math.min(memory.length, HEADROOM + (this.#most?.() ?? memory.length));
      // What is small is passed on at once, but then all: who sends little all the time always has more, and the event loop would wait.
      const read = this.#addon.read(this.#fd, memory, HEADROOM, end, isFirst);
      const bytes = read & (READ_UNIT - 1);
      const then = (read - bytes) / READ_UNIT;
      this.#isReadable = then === READ_MORE || bytes === end - HEADROOM;
      if (bytes > 0) this.#pass(memory, bytes);
      if (then === READ_END) this.#endReading();
      else if (then > 0) this.destroy(systemError('read', -then));
      else if (this.#isReadable && then !== READ_MORE && open.count() > 1) {
        // The others have their turn.
        setImmediate(() => this.#read());
        return;
      }
    }
  }

  #pass(memory: Buffer, bytes: number): void {
    if (this.#answers.isAsked()) this.#answers.answered(this.#clock.now());
    if (this.#take !== null) lendShared(bytes, this.#take, this);
    else this.emit('data', Buffer.from(memory.subarray(HEADROOM, HEADROOM + bytes)));
  }

  #endReading(): void {
    if (this.destroyed || this.readableEnded) return;
    this.readableEnded = true;
    this.emit('end');
    if (this.writableFinished) this.destroy();
  }

  /** Returns how many bytes the kernel took. */
  #send(bytes: Buffer): number {
    if (this.#fd === null) return 0;
    piece[1] = bytes.length;
    const sent = this.#addon.send(this.#fd, bytes, piece, 1);
    if (sent >= 0 && sent < bytes.length) this.#watchForRoom(this.#fd);
    if (sent > 0) this.sentPast(sent);
    if (sent >= 0) return sent;
    this.destroy(systemError('write', sent));
    return 0;
  }

  #watchForRoom(fd: number): void {
    if (this.#isWatchedForRoom) return;
    this.#isWatchedForRoom = true;
    this.#poll.watch(fd, this.id, true);
  }

  #flush(): void {
    while (this.#waiting !== null && !this.#isCorked && !this.destroyed) {
      const [first] = this.#waiting;
      const sent = this.#send(first!.rest);
      this.writableLength -= sent;
      if (sent < first!.rest.length) {
        first!.rest = first!.rest.subarray(sent);
        return;
      }
      this.#waiting.shift();
      if (this.#waiting.length === 0) this.#waiting = null;
      first!.onSent();
    }
    if (this.writableEnded && this.#waiting === null) this.#finish();
  }

  #finish(): void {
    if (this.#fd === null || this.writableFinished) return;
    this.writableFinished = true;
    process.nextTick(() => this.emit('finish'));
    // To close it says the same.
    if (this.readableEnded) this.destroy();
    else this.#addon.shutdown(this.#fd);
  }

  #close(error: Error | undefined): void {
    for (const { onSent } of this.#waiting ?? []) onSent();
    this.#waiting = null;
    this.writableLength = 0;
    if (error !== undefined && this.listenerCount('error') > 0) this.emit('error', error);
    this.closed = true;
    this.emit('close');
  }
}

/** A target that takes longer is not just busy: its backlog is full, say. */
const OPENING_MS = 250;

interface Waiting {
  rest: Buffer;
  readonly onSent: () => void;
}

/** Of packaging/native/poll.h. */
const READABLE = 1;
const WRITABLE = 2;

/** Of `read` in packaging/native/module.c. */
const READ_UNIT = 2 ** 20;
const READ_END = -1;
const READ_MORE = -2;

const open = createSlots<NativeSocket>();
let poll: Poll | null = null;
/** The id of each socket, and what happened to it. */
const ready = new Uint32Array(2 * 64);
const piece = new Uint32Array(2);

/** In bytes. */
const SMALL = 4096;
/** With a single one, the target could not run meanwhile. */
const MAY_STAY_AWAKE = availableParallelism() > 1;
let isAwake = false;

/** A report of one that has just closed may reach the next one of this number, which then finds nothing to read. */
function onReady(count: number): void {
  for (let i = 0; i < 2 * count; i += 2) open.get(ready[i]!)?.handle(ready[i + 1]!);
}

/** To fall asleep and to be woken takes as long as a near answer. */
function awaitAnswer(poll: Poll, answers: AnswerPace): void {
  isAwake = false;
  if (!answers.isNear()) return;
  const count = poll.pollBusily(NEAR_MS * 1000);
  if (count > 0) onReady(count);
  else if (count < 0) answers.missed();
}

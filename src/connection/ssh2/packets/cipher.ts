import { loopIteration } from '../../../lib/async/loop-iteration.ts';
import { afterRead } from '../../../net/streams/lent-memory.ts';
import type { Cipher } from '../protocol/internals.ts';
import type { Sealer } from '../../../lib/addon.ts';
import { DATA_HEADER, LARGEST_DATA, OVERHEAD } from './codec.ts';

/**
 * Writes the packets that `memory` has up to `end`, and calls `written` when it is not needed any more. Returns whether that is so already;
 * then it is not called.
 */
export type WritePackets = (memory: Buffer, end: number, written: () => void) => boolean;

/**
 * A cipher that seals packets one behind the other, in memory that is used again. Those of the first read, or tick, in an iteration of the
 * event loop are written behind it, and, where they were few, all others at the end of the iteration: a lone visitor waits for nothing, and a
 * hundred at once, each with a read of its own, cost a system call or two.
 */
export class BatchCipher implements Cipher {
  outSeqno: number;
  readonly #sealer: Sealer;
  readonly #write: WritePackets;
  #memory: Buffer = EMPTY;
  #end = 0;
  /** The packet that was allocated last, and is at #end. */
  #begun: Buffer | null = null;
  #scheduled = false;
  readonly #flushLater = () => this.flush();
  /** The iteration in which few bytes were written. */
  #written = NONE;
  /** Whether there is more to write at its end. */
  #waits = false;
  readonly #endIteration = () => {
    this.#waits = false;
    this.#written = NONE;
    this.#writeSealed();
  };
  #dead = false;

  constructor(sealer: Sealer, sequence: number, write: WritePackets) {
    this.outSeqno = sequence;
    this.#sealer = sealer;
    this.#write = write;
  }

  allocPacket(payload: number): Buffer {
    // Its place is taken until that one is sent, or the tick ends.
    if (this.#begun !== null) return Buffer.allocUnsafe(5 + payload);
    this.#room(payload + OVERHEAD);
    this.#begun = this.#memory.subarray(this.#end, this.#end + 5 + payload);
    return this.#begun;
  }

  encrypt(packet: Buffer): void {
    if (this.#dead) return;
    const payload = packet.length - 5;
    if (packet !== this.#begun) {
      if (this.#begun !== null) this.#leaveMemory();
      this.#room(payload + OVERHEAD);
      this.#memory.set(packet, this.#end);
    }
    this.#begun = null;
    this.#end = this.#sealer.seal(this.#memory, this.#end, payload);
    this.outSeqno = (this.outSeqno + 1) >>> 0;
    this.#schedule();
  }

  /** Sends bytes of a channel, as `allocPacket` and `encrypt` would in packets of at most `accepted` bytes. */
  sendData(from: Buffer, start: number, end: number, channel: number, accepted: number): void {
    if (this.#dead || start === end) return;
    const largest = Math.min(accepted, LARGEST_DATA);
    if (this.#begun !== null) this.#leaveMemory();
    for (let at = start; at < end; at += AT_ONCE) {
      const to = Math.min(end, at + AT_ONCE);
      const packets = Math.ceil((to - at) / largest);
      this.#room(to - at + packets * (DATA_HEADER + OVERHEAD));
      this.#end = this.#sealer.sealData(from, at, to, this.#memory, this.#end, channel, largest);
      this.outSeqno = (this.outSeqno + packets) >>> 0;
      this.#schedule();
    }
  }

  /** Writes what was sealed. */
  flush(): void {
    if (this.#end > 0 && this.#end <= FEW_BYTES) this.#written = loopIteration();
    this.#writeSealed();
  }

  /** The same, if nothing was written in this iteration of the event loop. */
  flushFirst(): void {
    if (!this.#hasWritten()) this.flush();
  }

  #hasWritten(): boolean {
    return this.#written !== NONE && this.#written === loopIteration();
  }

  #writeSealed(): void {
    this.#scheduled = false;
    this.#begun = null;
    if (this.#end === 0) return;
    const memory = this.#memory;
    const end = this.#end;
    this.#end = 0;
    if (!this.#write(memory, end, () => giveBack(memory))) this.#memory = EMPTY;
    else if (memory.length > SMALL) {
      this.#memory = EMPTY;
      giveBack(memory);
    }
  }

  free(): void {
    this.flush();
    this.#dead = true;
    this.#memory = EMPTY;
    this.#sealer.close();
  }

  /** A packet that was begun in it may still come. */
  #leaveMemory(): void {
    if (this.#end > 0) this.#write(this.#memory, this.#end, () => {});
    this.#begun = null;
    this.#memory = EMPTY;
    this.#end = 0;
  }

  #room(bytes: number): void {
    if (this.#end + bytes <= this.#memory.length) return;
    this.flush();
    if (bytes > this.#memory.length) this.#memory = memoryOf(bytes);
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    if (!this.#hasWritten()) afterRead(this.#flushLater);
    else if (!this.#waits) {
      this.#waits = true;
      setImmediate(this.#endIteration);
    }
  }
}

const EMPTY: Buffer = Buffer.alloc(0);
/** Behind a write of more than this, that of a transfer, a system call more costs little, and to wait for the end of the iteration much. */
const FEW_BYTES = 4 * 1024;
const NONE = -1;
const AT_ONCE = 256 * 1024;
/** For what is no data: a few packets. */
const SMALL = 2 * 1024;
const LARGE = 320 * 1024;

function memoryOf(bytes: number): Buffer {
  if (bytes > SMALL && bytes <= LARGE) return spare.pop() ?? Buffer.allocUnsafeSlow(LARGE);
  return Buffer.allocUnsafeSlow(Math.max(SMALL, bytes));
}

/** For all connections: memory is needed from the sealing to the write, and longer only where the server is slow. */
const spare: Buffer[] = [];
const MOST_SPARE = 2;

function giveBack(memory: Buffer): void {
  if (memory.length === LARGE && spare.length < MOST_SPARE) spare.push(memory);
}

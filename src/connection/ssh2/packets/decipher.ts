import type { Decipher } from '../protocol/internals.ts';
import { HEADROOM, isLent } from '../../../net/streams/lent-memory.ts';
import type { Opener } from '../../../lib/addon.ts';
import { CHANNEL_DATA, DATA_HEADER } from './codec.ts';

/** The way of data past ssh2's parser: a view, a parse and an event for each packet cost more than to open it. */
export interface Passage {
  /** Whether the server compresses, so that the first byte of a payload says nothing. */
  isCompressed(): boolean;
  /** Takes data of our channel `ours`, which is lent; false where it has to go through ssh2. */
  take(ours: number, memory: Buffer, start: number, end: number): boolean;
  /** So many packets were taken: whether the rest of what was read is to wait. */
  mustStop(packets: number): boolean;
}

/** A decipher that opens packets in the memory in which they were read, several in a call; the payloads are views of it. */
export class BatchDecipher implements Decipher {
  inSeqno: number;
  _onPayload: Decipher['_onPayload'];
  readonly #opener: Opener;
  readonly #passage: Passage;
  /** The begin of a packet: the first bytes of memory that is used again. */
  #rest = EMPTY;
  #kept = 0;
  /** How many bytes that packet has: 0 where they are not known. */
  #wanted = 0;
  /** How many calls of decrypt() there are. */
  #running = 0;
  #isFree = false;

  constructor(opener: Opener, sequence: number, onPayload: Decipher['_onPayload'], passage: Passage) {
    this.#opener = opener;
    this.#passage = passage;
    this.inSeqno = sequence;
    this._onPayload = onPayload;
  }

  decrypt(data: Buffer, from: number, to: number): number | undefined {
    if (this.#isFree) return undefined;
    const before = this.#kept;
    if (before + to - from < this.#wanted) {
      this.#keep(data, from, to);
      return undefined;
    }
    const [memory, begin, end] = this.#withRest(data, from, to);
    // A handler may come back here by what it calls: that call takes another one.
    const table = spare.pop() ?? new Uint32Array(1 + 2 * MOST_PACKETS);
    this.#running += 1;
    try {
      const answer = this.#openAll(memory, begin, end, table);
      return typeof answer === 'object' ? from + (answer.stoppedAt - begin) - before : answer;
    } finally {
      spare.push(table);
      this.#running -= 1;
      this.#closeIfFree();
    }
  }

  /** What was kept, and behind it what was read. */
  #withRest(data: Buffer, from: number, to: number): [memory: Buffer, begin: number, end: number] {
    const kept = this.#kept;
    this.#kept = this.#wanted = 0;
    if (kept === 0) return [data, from, to];
    if (isLent(data) && kept <= HEADROOM) {
      this.#rest.copy(data, from - kept, 0, kept);
      return [data, from - kept, to];
    }
    const memory = Buffer.concat([this.#rest.subarray(0, kept), data.subarray(from, to)]);
    return [memory, 0, memory.length];
  }

  /** Adds to what is kept. */
  #keep(memory: Buffer, at: number, end: number): void {
    const bytes = this.#kept + end - at;
    if (this.#rest.length < bytes) {
      const larger = Buffer.allocUnsafeSlow(Math.max(bytes, this.#wanted, FIRST));
      this.#rest.copy(larger, 0, 0, this.#kept);
      this.#rest = larger;
    }
    memory.copy(this.#rest, this.#kept, at, end);
    this.#kept = bytes;
  }

  /** The answer of a handler, or where one has stopped it; undefined at the end. */
  #openAll(memory: Buffer, begin: number, end: number, table: Uint32Array): number | { stoppedAt: number } | undefined {
    for (let at = begin; ;) {
      const isCompressed = this.#passage.isCompressed();
      const packets = this.#opener.open(memory, at, end, isCompressed ? table.subarray(0, ONE_PACKET) : table);
      if (packets === 0) {
        this.#wanted = table[1]!;
        this.#keep(memory, at, end);
        return undefined;
      }
      at = table[0]!;
      this.inSeqno = (this.inSeqno + packets) >>> 0;
      const answer = this.#pass(memory, table, packets, !isCompressed);
      if (answer !== undefined) return typeof answer === 'number' ? answer : { stoppedAt: at };
    }
  }

  /**
   * A batch is passed on as a whole, because it is open: all but its last packet are of CHANNEL_DATA, of which none changes how
   * the next ones are to be read.
   */
  #pass(memory: Buffer, table: Uint32Array, packets: number, mayTake: boolean): unknown {
    let taken = 0;
    let answer: unknown;
    for (let i = 1; i < 1 + 2 * packets; i += 2) {
      const start = table[i]!;
      const end = start + table[i + 1]!;
      if (mayTake && this.#isTaken(memory, start, end)) {
        taken += 1;
        continue;
      }
      const mayBeKept = memory[start] !== CHANNEL_DATA && isLent(memory);
      const its = this._onPayload(mayBeKept ? copyOf(memory, start, end) : memory.subarray(start, end));
      if (its !== undefined) answer = its;
    }
    return taken > 0 && this.#passage.mustStop(taken) ? (answer ?? false) : answer;
  }

  /** Only what is CHANNEL_DATA from its first byte to its last, and has some. */
  #isTaken(memory: Buffer, start: number, end: number): boolean {
    const from = start + DATA_HEADER;
    return (
      memory[start] === CHANNEL_DATA &&
      from < end &&
      isLent(memory) &&
      uint32At(memory, start + 5) === end - from &&
      this.#passage.take(uint32At(memory, start + 1), memory, from, end)
    );
  }

  /** The handler that calls it may be one of decrypt()'s, which goes on. */
  free(): void {
    this.#isFree = true;
    this.#closeIfFree();
  }

  /** The addon's keys are much memory, which V8 knows nothing of, and which only a full garbage collection would free. */
  #closeIfFree(): void {
    if (this.#isFree && this.#running === 0) this.#opener.close();
  }
}

const EMPTY = Buffer.alloc(0);
/** Room for it at first: there is seldom more of a packet. */
const FIRST = 1024;
/** Few enough that those behind a stop cost less than a slice. */
const MOST_PACKETS = 16;
/** What a table has for one. */
const ONE_PACKET = 3;
/** One is needed while packets are opened. */
const spare: Uint32Array[] = [];

/** As readUInt32BE(), which V8 has to look for each time. */
function uint32At(memory: Buffer, at: number): number {
  return ((memory[at]! << 24) | (memory[at + 1]! << 16) | (memory[at + 2]! << 8) | memory[at + 3]!) >>> 0;
}

/** By a second view a copy of a few bytes would cost twice as much. */
function copyOf(memory: Buffer, start: number, end: number): Buffer {
  if (end - start > FEW_BYTES) return Buffer.from(memory.subarray(start, end));
  const copy = Buffer.allocUnsafe(end - start);
  for (let i = start; i < end; i++) copy[i - start] = memory[i]!;
  return copy;
}

const FEW_BYTES = 128;

import type { Decipher } from '../protocol/internals.ts';
import { HEADROOM, isLent } from '../../../net/streams/lent-memory.ts';
import { CHANNEL_DATA, DATA_HEADER, type Opener } from './codec.ts';

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

  constructor(opener: Opener, sequence: number, onPayload: Decipher['_onPayload'], passage: Passage) {
    this.#opener = opener;
    this.#passage = passage;
    this.inSeqno = sequence;
    this._onPayload = onPayload;
  }

  decrypt(data: Buffer, from: number, to: number): number | undefined {
    const before = this.#kept;
    if (before + to - from < this.#wanted) {
      this.#keep(data, from, to);
      return undefined;
    }
    const [memory, begin, end] = this.#withRest(data, from, to);
    for (let at = begin; ;) {
      const table = this.#passage.isCompressed() ? ONE : BATCH;
      const packets = this.#opener.open(memory, at, end, table);
      if (packets === 0) {
        this.#wanted = table[1]!;
        this.#keep(memory, at, end);
        return undefined;
      }
      at = table[0]!;
      this.inSeqno = (this.inSeqno + packets) >>> 0;
      const answer = this.#pass(memory, table, packets);
      if (answer !== undefined) return typeof answer === 'number' ? answer : from + (at - begin) - before;
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

  /**
   * A batch is passed on as a whole, because it is open: all but its last packet are of CHANNEL_DATA, of which none changes how
   * the next ones are to be read.
   */
  #pass(memory: Buffer, table: Uint32Array, packets: number): unknown {
    // A handler may come back here by what it calls.
    const places = packets === 1 ? [table[1]!, table[2]!] : table.slice(1, 1 + 2 * packets);
    const mayTake = table !== ONE;
    let taken = 0;
    let answer: unknown;
    for (let i = 0; i < places.length; i += 2) {
      const start = places[i]!;
      const end = start + places[i + 1]!;
      if (mayTake && this.#isTaken(memory, start, end)) {
        taken += 1;
        continue;
      }
      const payload = memory.subarray(start, end);
      const its = this._onPayload(payload[0] === CHANNEL_DATA || !isLent(payload) ? payload : Buffer.from(payload));
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
      memory.readUInt32BE(start + 5) === end - from &&
      this.#passage.take(memory.readUInt32BE(start + 1), memory, from, end)
    );
  }

  free(): void {
    // Not closed: it may be in the middle of its loop.
  }
}

const EMPTY = Buffer.alloc(0);
/** Room for it at first: there is seldom more of a packet. */
const FIRST = 1024;
/** Sixteen packets: few enough that those behind a stop cost less than a slice. */
const BATCH = new Uint32Array(1 + 2 * 16);
const ONE = new Uint32Array(3);

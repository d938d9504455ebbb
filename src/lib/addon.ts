import { createRequire } from 'node:module';
import { join } from 'node:path';

/** The functions of packaging/native/module.c, where they are described. */
export interface Addon {
  sealer(cipher: string, key: Buffer, iv: Buffer | null, sequence: number): Sealer;
  opener(cipher: string, key: Buffer, iv: Buffer | null, sequence: number): Opener;
  send(fd: number, memory: Buffer, pieces: Uint32Array, count: number): number;
  connect(address: string, port: number): number;
  isOpen(fd: number): number;
  read(fd: number, memory: Buffer, start: number, end: number, soon: boolean): number;
  shutdown(fd: number): number;
  closeSocket(fd: number, reset: boolean): void;
  createPoll(table: Uint32Array, listener: (count: number) => void): Poll | null;
  limitUnsent(fd: number, bytes: number): boolean;
  wakeAt(fd: number, bytes: number): boolean;
  unacknowledged(fd: number): number;
  acknowledge(fd: number): boolean;
  watchNetwork(listener: (what: 'network' | 'clock') => void): (() => void) | null;
  releaseMemory(): number;
  startTimer(ms: number, listener: () => void): () => void;
}

/** Of many sockets; see packaging/native/poll.h. */
export interface Poll {
  watch(fd: number, id: number, writable: boolean): boolean;
  pollBusily(microseconds: number): number;
}

/**
 * Seals and opens SSH packets (RFC 4253 section 6) in place, many in one call. Offsets and lengths are bytes of `memory`.
 */
export interface Sealer {
  /** Seals the payload of `length` bytes at `at` + 5; returns where the packet ends. */
  seal(memory: Buffer, at: number, length: number): number;
  /**
   * Seals the bytes of `from` between `start` and `end` as CHANNEL_DATA of at most `largest` bytes each; returns where the packets
   * end. `memory` has room for OVERHEAD and DATA_HEADER beside the data of each.
   */
  sealData(
    from: Buffer,
    start: number,
    end: number,
    memory: Buffer,
    at: number,
    channel: number,
    largest: number,
  ): number;
  /** Forgets the key. */
  close(): void;
}

export interface Opener {
  /**
   * Opens the whole packets between `from` and `to`, up to the first that is no CHANNEL_DATA, and this one too. Returns how many;
   * `table` then has where it stopped, and start and length of each payload, or, where there is none, the bytes of the packet that is
   * not whole: 0 where they are not known. Throws where the next packet is wrong: those before it have been returned.
   */
  open(memory: Buffer, from: number, to: number, table: Uint32Array): number;
  /** Forgets the key. */
  close(): void;
}

/** Null where there is none for this machine, or where Node.js does not load it; `problem` then says why. Loaded once. */
export function loadAddon(): { readonly addon: Addon | null; readonly problem: string | null } {
  return (loaded ??= load());
}

let loaded: ReturnType<typeof loadAddon> | null = null;

function load(): ReturnType<typeof loadAddon> {
  try {
    const file = join(import.meta.dirname, FOLDER, `${process.platform}-${process.arch}.node`);
    return { addon: createRequire(import.meta.url)(file) as Addon, problem: null };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const none = code === 'MODULE_NOT_FOUND' ? `there is none for ${process.platform} on ${process.arch}` : message;
    return { addon: null, problem: none.split('\n')[0]! };
  }
}

/** Defined by the bundler: the folder of the addons, beside that of its chunks. */
declare const TUNNELD_NATIVE: string | undefined;
const FOLDER = typeof TUNNELD_NATIVE === 'string' ? TUNNELD_NATIVE : '../../packaging/native/prebuilt';

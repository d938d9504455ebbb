import { createRequire } from 'node:module';
import { join } from 'node:path';

/** The functions of packaging/native/module.c, where they are described. */
export interface Addon {
  sealer(cipher: string, key: Buffer, iv: Buffer | null, sequence: number): object;
  opener(cipher: string, key: Buffer, iv: Buffer | null, sequence: number): object;
  seal(keys: object, memory: Buffer, at: number, length: number): number;
  sealData(keys: object, ...data: DataToSeal): number;
  open(keys: object, memory: Buffer, from: number, to: number, table: Uint32Array): number;
  close(keys: object): void;
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

/** The bytes of `from` between `start` and `end` go into `memory` from `at` on. */
export type DataToSeal = [
  from: Buffer,
  start: number,
  end: number,
  memory: Buffer,
  at: number,
  channel: number,
  largest: number,
];

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

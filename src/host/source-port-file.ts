import { readJsonFile } from '../lib/files/read-json-file.ts';
import { errorCode, errorText } from '../lib/text.ts';
import { durableFile } from '../lib/files/write-durably.ts';

/**
 * A small file of port numbers by name, newest first, and of the last eviction of a dead connection from one of them.
 */
export interface PortFile {
  recall(key: string): readonly number[];
  remember(key: string, ports: readonly number[]): void;
  forget(key: string): void;
  /** The day and the time that a server took to release a listener; null where that was never seen. */
  eviction(key: string): Eviction | null;
  noteEviction(key: string, eviction: Eviction): void;
  /** See DurableFile. */
  written(): Promise<void>;
}

interface Eviction {
  readonly day: string;
  readonly seconds: number;
}

/**
 * Reads the file once and writes it anew, atomically, after each change, without anything waiting for it. A file that
 * is damaged or cannot be written costs the memory of the ports, never the start: `onTrouble` gets the reason once, and
 * null when a write succeeds again.
 */
export function openPortFile(path: string, onTrouble: (message: string | null) => void): PortFile {
  let trouble: 'none' | 'damaged' | 'unwritable' = 'none';
  const { ports: remembered, evictions } = read(path, (message) => {
    trouble = 'damaged';
    onTrouble(message);
  });
  const text = () => {
    const seen = evictions.size === 0 ? {} : { [EVICTIONS]: Object.fromEntries(evictions) };
    return `${JSON.stringify({ ...Object.fromEntries(remembered), ...seen }, null, 2)}\n`;
  };
  const { changed: save, written } = durableFile(path, text, (error) => {
    if (error === null) {
      if (trouble !== 'none') onTrouble(null);
      trouble = 'none';
      return;
    }
    if (trouble !== 'unwritable')
      onTrouble(`${path} cannot be written, so source ports are not remembered: ${errorText(error)}`);
    trouble = 'unwritable';
  });
  return {
    recall: (key) => remembered.get(key) ?? [],
    remember: (key, ports) => {
      remembered.delete(key);
      remembered.set(key, ports);
      const [oldest] = remembered.keys();
      if (remembered.size > MAX_KEYS && oldest !== undefined) {
        remembered.delete(oldest);
        evictions.delete(oldest);
      }
      save();
    },
    forget: (key) => {
      if (!remembered.delete(key)) return;
      evictions.delete(key);
      save();
    },
    eviction: (key) => evictions.get(key) ?? null,
    noteEviction: (key, { day, seconds }) => {
      const before = evictions.get(key);
      if (before?.day === day && before.seconds === seconds) return;
      evictions.set(key, { day, seconds });
      // An eviction without its ports is not needed.
      for (const other of evictions.keys()) if (!remembered.has(other)) evictions.delete(other);
      save();
    },
    written,
  };
}

/** Stands among the names of tunnels and servers, which contain a blank. */
const EVICTIONS = 'evictions';

const MAX_KEYS = 500;
/** More than are ever remembered for a name. */
const MAX_PORTS = 64;
const MAX_BYTES = 1024 * 1024;

interface Content {
  readonly ports: Map<string, readonly number[]>;
  readonly evictions: Map<string, Eviction>;
}

function read(path: string, onTrouble: (message: string) => void): Content {
  const ports = new Map<string, readonly number[]>();
  const evictions = new Map<string, Eviction>();
  try {
    const content: unknown = readJsonFile(path, MAX_BYTES);
    if (typeof content !== 'object' || content === null) throw new Error('it holds no mapping');
    const lists = Object.entries(content).filter(([key]) => key !== EVICTIONS);
    for (const [key, list] of lists.slice(-MAX_KEYS)) if (isPortList(list)) ports.set(key, list);
    const seen: unknown = (content as Readonly<Record<string, unknown>>)[EVICTIONS] ?? {};
    for (const [key, value] of Object.entries(seen as object))
      if (ports.has(key) && isEviction(value)) evictions.set(key, value);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT')
      onTrouble(`${path} cannot be read, so the source ports are lost: ${errorText(error)}`);
  }
  return { ports, evictions };
}

function isPortList(value: unknown): value is readonly number[] {
  return (
    Array.isArray(value) &&
    value.length <= MAX_PORTS &&
    value.every((port) => Number.isInteger(port) && port > 0 && port < 65_536)
  );
}

function isEviction(value: unknown): value is Eviction {
  const { day, seconds } = (value ?? {}) as Partial<Eviction>;
  return typeof day === 'string' && /^\d{4}-\d\d-\d\d$/.test(day) && Number.isSafeInteger(seconds);
}

import { createHash } from 'node:crypto';

/**
 * The local ports from which one tunnel dials one server. A server that still holds a dead connection of ours answers a
 * new one from the same port with a challenge (RFC 5961 section 4), our kernel resets the dead one, and its listener is
 * free at once; from any other port the listener stays in use until the server notices.
 */
export interface SourcePorts {
  /** The port to dial from: that of the last connection, or one derived from the names where none is remembered. */
  preferred(): number;
  /** Another port, for when the preferred one does not work. */
  fresh(): number;
  /** A connection was opened from this port. */
  used(port: number): void;
  /** Ports of earlier connections that the server may still hold. */
  earlier(current: number): readonly number[];
  /** Forgets ports that belong to another machine: dialling from them would end its connections. */
  forget(): void;
  /** The server released a listener that a dead connection of ours held. */
  evicted(eviction: Eviction): void;
}

/** Evidence of how well eviction works on this path. */
export interface Eviction {
  /** The date, as in 2026-01-31. */
  readonly day: string;
  /** How long the server took. */
  readonly seconds: number;
}

/** A longer time shows that the server noticed by itself. */
export const EVICTED_AT_ONCE_S = 5;

/** Remembers ports, newest first. Must survive a loss of power. */
interface PortMemory {
  recall(key: string): readonly number[];
  remember(key: string, ports: readonly number[]): void;
  forget(key: string): void;
  noteEviction(key: string, eviction: Eviction): void;
}

/** Both ends are included. */
export interface PortRange {
  readonly low: number;
  readonly high: number;
}

export interface SourcePortOptions {
  readonly memory: PortMemory;
  /** Ports that the system assigns only where they are asked for. */
  readonly range: PortRange;
  /** Distinguishes this device from others behind the same public address. */
  readonly device: string;
  readonly random: () => number;
}

/** `key` names the tunnel and the server. */
export function sourcePorts(key: string, { memory, range, device, random }: SourcePortOptions): SourcePorts {
  const size = range.high - range.low + 1;
  return {
    preferred: () => memory.recall(key)[0] ?? range.low + (hash(`${device} ${key}`) % size),
    fresh: () => range.low + Math.floor(random() * size),
    used: (port) => {
      const known = memory.recall(key);
      if (known[0] !== port)
        memory.remember(key, [port, ...known.filter((other) => other !== port)].slice(0, MAX_KNOWN));
    },
    earlier: (current) => memory.recall(key).filter((port) => port !== current),
    forget: () => memory.forget(key),
    evicted: (eviction) => memory.noteEviction(key, eviction),
  };
}

/** There is more than one only where connections did not open from the preferred port. */
const MAX_KNOWN = 3;

function hash(text: string): number {
  return createHash('sha256').update(text).digest().readUInt32BE(0);
}

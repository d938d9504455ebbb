import { createHash } from 'node:crypto';

/**
 * The local ports from which one tunnel dials one server. A server that still holds a dead connection of ours answers a new one
 * from the same port with a challenge (RFC 5961 section 4), our kernel resets the dead one, and its listener comes free at once;
 * from any other port it would be refused for as long as the server takes to notice.
 */
export interface SourcePorts {
  /** The port to dial from: that of the last connection, or one that follows from the names where nothing is remembered. */
  preferred(): number;
  /** Another one, for when that does not work. */
  fresh(): number;
  /** A connection was opened from this port. */
  used(port: number): void;
  /** Ports of earlier connections that the server may still hold. */
  earlier(current: number): readonly number[];
  /** What is remembered is another machine's: to come from its ports would end its connections. */
  forget(): void;
  /** The server let go of a listener that a dead connection of ours held. */
  evicted(eviction: Eviction): void;
}

/** Evidence of what this way of letting go of dead connections is worth here. */
export interface Eviction {
  /** When, as in 2026-01-31. */
  readonly day: string;
  /** How long it took. */
  readonly seconds: number;
}

/** Longer than that it was the server that noticed by itself. */
export const EVICTED_AT_ONCE_S = 5;

/** Where ports are remembered: newest first. Must survive a loss of power. */
interface PortMemory {
  recall(key: string): readonly number[];
  remember(key: string, ports: readonly number[]): void;
  forget(key: string): void;
  noteEviction(key: string, eviction: Eviction): void;
}

/** Ports that nobody is given who does not ask for them, both ends included. */
interface PortRange {
  readonly low: number;
  readonly high: number;
}

export interface SourcePortOptions {
  readonly memory: PortMemory;
  readonly range: PortRange;
  /** Tells this device from others that share its address to the world. */
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

/** More than one only when connections did not open from the port that was wanted. */
const MAX_KNOWN = 3;

function hash(text: string): number {
  return createHash('sha256').update(text).digest().readUInt32BE(0);
}

import type { SourcePorts } from './source-ports.ts';
import type { Turns } from './pacing/turns.ts';

/** The machine that a tunnel runs on, as far as the tunnel depends on it. */
export interface Device {
  /**
   * Calls `listener` when the machine has resumed from sleep, or its addresses or routes have changed; the result
   * unsubscribes.
   */
  onChange(listener: () => void): () => void;
  /** Whether the machine has replaced this address of its own by another one. */
  lostAddress(address: string): Promise<boolean>;
  /** Bytes of this connection that the other end has not acknowledged, or null where the system does not report it. */
  unacknowledged(addresses: SocketAddresses): number | null;
  /** The public halves of the machine's own SSH host keys, as key blobs. */
  hostKeys(): Promise<readonly Buffer[]>;
  /** Calls `listener` when a user has run `retry --take`; the result unsubscribes. */
  onTaken(listener: () => void): () => void;
  sourcePorts(tunnel: string, server: string): SourcePorts;
  /** When a connection to a server may begin, for the whole process. */
  readonly turns: Turns;
}

/** A device for work that ends before anything about the machine changes. */
export const STATIC_DEVICE: Pick<Device, 'onChange' | 'lostAddress' | 'unacknowledged'> = {
  onChange: () => () => {},
  lostAddress: () => Promise.resolve(false),
  unacknowledged: () => null,
};

/** The two ends of a TCP connection. */
export interface SocketAddresses {
  /** The file descriptor of ours; null when it is closed. */
  descriptor?(): number | null;
  readonly localAddress: string;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
}

import type { SourcePorts } from './source-ports.ts';
import type { Turns } from './pacing/turns.ts';

/** What a tunnel wants to know of the machine that it runs on. */
export interface Device {
  /** Calls `listener` when the machine woke up, or its addresses or routes have changed; the answer ends that. */
  onChange(listener: () => void): () => void;
  /** Whether it has given this address of its own up for another one. */
  lostAddress(address: string): Promise<boolean>;
  /** Bytes of this connection that the other end has not acknowledged, or null where the system does not tell. */
  unacknowledged(addresses: SocketAddresses): number | null;
  /** The public halves of its own SSH host keys, as key blobs. */
  hostKeys(): Promise<readonly Buffer[]>;
  /** Calls `listener` when a person has said that listeners be taken; the answer ends that. */
  onTaken(listener: () => void): () => void;
  /** The ports from which a tunnel dials a server. */
  sourcePorts(tunnel: string, server: string): SourcePorts;
  /** When a connection to a server may begin, for the whole process. */
  readonly turns: Turns;
}

/** For what is over before anything about the machine changes. */
export const STATIC_DEVICE: Pick<Device, 'onChange' | 'lostAddress' | 'unacknowledged'> = {
  onChange: () => () => {},
  lostAddress: () => Promise.resolve(false),
  unacknowledged: () => null,
};

/** The two ends of a TCP connection. */
export interface SocketAddresses {
  readonly localAddress: string;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
}

import type { EventEmitter } from 'node:events';

/**
 * A connection of this device as it is joined with a channel: a socket of Node.js with allowHalfOpen, or a NativeSocket, with the events
 * and in the words of node:net.
 */
export interface DeviceSocket {
  readonly closed: boolean;
  readonly destroyed: boolean;
  readonly readableEnded: boolean;
  readonly writable: boolean;
  readonly writableEnded: boolean;
  readonly writableFinished: boolean;
  readonly writableLength: number;
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
  on(event: string, listener: Listener): this;
  once(event: string, listener: Listener): this;
  off(event: string, listener: Listener): this;
  write(chunk: Buffer, onSent?: () => void): boolean;
  cork(): void;
  uncork(): void;
  end(): unknown;
  pause(): unknown;
  resume(): unknown;
  /** Told of bytes that were sent past write(). */
  sentPast?(bytes: number): void;
  destroy(error?: Error): unknown;
  resetAndDestroy(): unknown;
}

export type Listener = Parameters<EventEmitter['on']>[1];

import type { Duplex } from 'node:stream';
import type { Endpoint } from '../../model/endpoint.ts';
import type { AgreedAlgorithms } from '../../model/state.ts';
import type { Transport } from '../../net/transport.ts';
import type { Take } from '../../net/streams/lent-memory.ts';

/** One authenticated SSH connection, whatever library carries it. Every failure is a TunnelFailure. */
export interface SshConnection {
  /** Rejects once, with the reason, when the connection has ended in any way. */
  readonly lost: Promise<never>;
  /** The server's software as it announced it, safe to print. */
  readonly serverVersion: string;
  /** What both sides agreed on before the login. */
  readonly algorithms: AgreedAlgorithms;
  readonly transport: Transport;
  /** Asks the server to listen (tcpip-forward, RFC 4254 section 7.1); resolves with the port, 0 for a Unix socket. */
  listen(endpoint: Endpoint): Promise<number>;
  /** Asks the server to stop listening; a refusal is not an error. */
  unlisten(endpoint: Endpoint): Promise<void>;
  /**
   * Has the server open a connection (direct-tcpip, and OpenSSH's direct-streamlocal for a Unix socket). Rejects with
   * forward-refused where the server does not allow it, and target-unreachable where it cannot connect.
   */
  open(endpoint: Endpoint, originator: Originator): Promise<Channel>;
  /**
   * Requests a session (RFC 4254 section 6), as harmlessly as can be, and closes it again: for an audit, never for a
   * tunnel.
   */
  probeSession(use: SessionUse): Promise<SessionProbe>;
  /** For how many milliseconds there has been no channel; null while there is one. */
  idleMs(): number | null;
  /**
   * Requests a tunnel device (`tun@openssh.com` in OpenSSH's PROTOCOL), and closes it at once. `unable` is a server
   * whose rules allow it, but which has no device.
   */
  openTun(): Promise<'granted' | 'refused' | 'unable'>;
  /**
   * Runs a command to its end: for an administrator, never for a tunnel. Rejects with `internal` where its output is
   * larger than `limit` bytes, and with forward-refused where it is not run.
   */
  run(command: string, input: string | Conversation, limit: number): Promise<CommandOutput>;
  /** One round trip to the server and back. */
  ping(): Promise<void>;
  /** Closes the connection gracefully, in bounded time; may be called often. */
  close(): Promise<void>;
  /** Ends the connection at once with a reset, so that its port is free and the server's kernel knows. */
  destroy(): void;
}

/**
 * What a session may be for: the first three have to prove that they do what they are asked; the others are only
 * requested.
 */
export type SessionUse = 'command' | 'shell' | 'sftp' | 'terminal' | 'agent' | 'x11' | 'environment';

/** Writes the input of a command by what it says on standard error; called at each piece of that. */
export type Conversation = (output: string, input: { write(text: string): void; end(text: string): void }) => void;

export interface CommandOutput {
  /** Null for a command that a signal ended. */
  readonly code: number | null;
  readonly stdout: Buffer;
  /** The last part of it. */
  readonly stderr: string;
}

/**
 * The result: `other` is a session in which the server does something of its own (a forced command, a shell that
 * permits no login), `silent` one in which nothing happens, so that the result is unknown.
 */
export interface SessionProbe {
  readonly result: 'granted' | 'refused' | 'other' | 'silent';
  /** The first line of its output, safe to print. */
  readonly output: string;
}

/** The originator of a connection, as it is sent to the server. */
export interface Originator {
  readonly address: string;
  readonly port: number;
}

/** A visitor at one of our listeners. One of `accept` and `reject` must be called; a reject after that does nothing. */
export interface Visitor {
  readonly listen: Endpoint;
  /** The visitor's address as the server reports it, safe to print. */
  readonly originator: string;
  accept(): Channel;
  reject(): void;
  /** True for a visitor that has left already, where that is known. */
  hasLeft?(): boolean;
}

/** A stream through the connection. `close` ends both directions at once; `end` only ours. */
export interface Channel extends Duplex {
  close(): void;
  /** Bytes that were read and could not be passed on: they count as unread. */
  unsent?(): number;
  /**
   * Its 'data' listener handles bytes that are only lent (see net/streams/lent-memory.ts). Where `onLent` is set, they go there while it reads
   * and nothing waits in the stream, which costs less than to pass through it.
   */
  takesLent?: boolean;
  onLent?: Take | null;
  /**
   * Sends bytes of ours past the stream, as far as they leave at once: none behind what waits in it. Returns how many; `memory` is
   * not needed any more then.
   */
  sendNow?(memory: Buffer, start: number, end: number): number;
  /** How many bytes to read for it at once, for the sake of other channels. To be asked before each read, as Transport.readAtOnce(). */
  mostAtOnce?(): number;
  /** Calls `listener` when the server opens its window, the last of them only; false where it is open, or not all that data waits for. */
  onceWindowOpens?(listener: () => void): boolean;
}

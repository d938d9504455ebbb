import type { Duplex } from 'node:stream';
import type { Endpoint } from '../../model/endpoint.ts';
import type { Transport } from '../../net/transport.ts';

/** One authenticated SSH connection, whatever library carries it. Every failure is a TunnelFailure. */
export interface SshConnection {
  /** Rejects once, with the reason, when the connection has ended, however that came about. */
  readonly lost: Promise<never>;
  /** The server's software as it announced it, safe to print. */
  readonly serverVersion: string;
  readonly transport: Transport;
  /** Asks the server to listen (tcpip-forward, RFC 4254 section 7.1); the answer is the port it listens on, 0 for a Unix socket. */
  listen(endpoint: Endpoint): Promise<number>;
  /** Asks the server to stop listening; a refusal is not an error. */
  unlisten(endpoint: Endpoint): Promise<void>;
  /**
   * Has the server open a connection (direct-tcpip, and OpenSSH's direct-streamlocal for a Unix socket). Rejects with forward-refused
   * where it does not do that for us, and target-unreachable where it could not.
   */
  open(endpoint: Endpoint, originator: Originator): Promise<Channel>;
  /** Asks for a session (RFC 4254 section 6), as harmlessly as can be, and closes it again. A tunnel never does that, an audit does. */
  probeSession(use: SessionUse): Promise<SessionProbe>;
  /** For how many milliseconds there has been no channel; null while there is one. */
  idleMs(): number | null;
  /**
   * Asks for a network device between the machines (`tun@openssh.com` in OpenSSH's PROTOCOL), and closes it at once. `unable` is a
   * server whose rules allow it, but who has no device to give.
   */
  openTun(): Promise<'granted' | 'refused' | 'unable'>;
  /**
   * Runs a command to its end, for an administrator; a tunnel never does that. Rejects with `internal` where its output is larger
   * than `limit` bytes, and with forward-refused where it is not run.
   */
  run(command: string, input: string, limit: number): Promise<CommandOutput>;
  /** One round trip to the server and back. */
  ping(): Promise<void>;
  /** Says goodbye and closes; bounded in time, may be called often. */
  close(): Promise<void>;
  /** Ends the connection at once with a reset, so that its port is free and the server's kernel knows. */
  destroy(): void;
}

/** What a session may be for: the first three are proven to do what they are asked, the others are only asked for. */
export type SessionUse = 'command' | 'shell' | 'sftp' | 'terminal' | 'agent' | 'x11' | 'environment';

export interface CommandOutput {
  /** Null for one that a signal ended. */
  readonly code: number | null;
  readonly stdout: Buffer;
  /** The end of it. */
  readonly stderr: string;
}

/**
 * What became of it: `other` is a session in which the server does something of its own (a forced command, a shell that lets nobody
 * in), `silent` one in which nothing happens, so that nobody knows.
 */
export interface SessionProbe {
  readonly result: 'granted' | 'refused' | 'other' | 'silent';
  /** The first words that came in it, safe to print. */
  readonly output: string;
}

/** Who wants a connection, as the server is told. */
export interface Originator {
  readonly address: string;
  readonly port: number;
}

/** A visitor at one of our listeners. One of `accept` and `reject` must be called; a reject after that does nothing. */
export interface Visitor {
  readonly listen: Endpoint;
  /** The visitor's address as the server tells it, safe to print. */
  readonly originator: string;
  accept(): Channel;
  reject(): void;
  /** True for one who has left already, where that is known. */
  hasLeft?(): boolean;
}

/** A stream through the connection. `close` ends both directions at once; `end` only ours. */
export interface Channel extends Duplex {
  close(): void;
  /** Bytes that whoever reads it has taken and could not pass on: they count as unread. */
  unsent?(): number;
}

import type { Client } from 'ssh2';

/** What ssh2 has no public way to, of the version that packaging/ssh2-replacements.mjs names. There after client.connect(). */
export interface Internals {
  readonly _chanMgr: ChannelTable;
  readonly _protocol: Protocol;
}

/** Its channels by our number for them: an object, a function that waits for the server's answer, or true for one we have not answered. */
interface ChannelTable {
  /** The highest number that was ever given. */
  readonly _cur: number;
  get(id: number): OpenChannel | ((...answer: never[]) => void) | true | undefined;
}

export interface OpenChannel {
  readonly type: string;
  /** What the server may still send. */
  readonly incoming: { window: number; readonly state: 'open' | 'eof' | 'closed' };
  read(size?: number): unknown;
  /** Bytes that nobody has read. */
  readonly readableLength: number;
  readonly readableHighWaterMark: number;
  /** See Channel in ssh.ts. */
  unsent?(): number;
  /** Of Node's Readable: what may wait before ssh2 gives no more window. */
  readonly _readableState: { highWaterMark: number };
  /** What we may still send; `id` is the server's number for it. */
  readonly outgoing: { readonly id: number; readonly window: number };
  once(event: 'close', listener: () => void): unknown;
}

interface Protocol {
  /** Given every chunk that is read. */
  parse(chunk: Buffer, from: number, to: number): void;
  /** Its loop over the packets of a chunk: where it stopped, undefined or beyond the end where it did not. */
  _parse(chunk: Buffer, from: number, to: number): number | undefined;
  readonly _decipher: undefined | { _onPayload: (payload: Buffer) => unknown };
  /** What its client does with each message. */
  readonly _handlers: Handlers;
  /** Set while keys are being exchanged. */
  _kexinit: Buffer | undefined;
  channelClose(id: number): void;
  channelOpenConfirm(theirs: number, ours: number, window: number, packet: number): void;
  directTcpip(ours: number, window: number, ...rest: never[]): void;
  openssh_directStreamLocal(ours: number, window: number, ...rest: never[]): void;
  channelWindowAdjust(id: number, bytes: number): void;
  channelFailure(id: number): void;
  channelOpenFail(id: number, reason: number, text: string): void;
  authNone(...args: never[]): void;
  authPassword(...args: never[]): void;
  authPK(...args: never[]): void;
  authKeyboard(...args: never[]): void;
}

/** The messages of the server, with what ssh2 has read of them. */
export interface Messages {
  SERVICE_ACCEPT: [name: string];
  USERAUTH_BANNER: [text: string];
  USERAUTH_FAILURE: [methods: string[] | undefined, partial: boolean];
  USERAUTH_SUCCESS: [];
  USERAUTH_PK_OK: [];
  USERAUTH_INFO_REQUEST: [];
  USERAUTH_PASSWD_CHANGEREQ: [];
  GLOBAL_REQUEST: [name: string, wantReply: boolean, data: unknown];
  CHANNEL_OPEN: [opening: Opening & { readonly data: { srcPort?: number } }];
  CHANNEL_OPEN_CONFIRMATION: [opening: Opening & { readonly recipient: number }];
  CHANNEL_OPEN_FAILURE: [recipient: number, ...reason: unknown[]];
  CHANNEL_DATA: [recipient: number, data: Buffer];
  CHANNEL_EXTENDED_DATA: [recipient: number, data: Buffer, type: number];
  CHANNEL_WINDOW_ADJUST: [recipient: number, bytes: number];
  CHANNEL_REQUEST: [recipient: number, type: string, wantReply: boolean];
  CHANNEL_SUCCESS: [recipient: number];
  CHANNEL_FAILURE: [recipient: number];
  CHANNEL_EOF: [recipient: number];
  CHANNEL_CLOSE: [recipient: number];
}

export type Handlers = { [Name in keyof Messages]: (protocol: unknown, ...message: Messages[Name]) => void };

/** What a server says of its end of a channel. */
export interface Opening {
  readonly sender: number;
  readonly window: number;
  readonly packetSize: number;
}

export function internalsOf(client: Client): Internals {
  return client as unknown as Internals;
}

import type { Client, ClientChannel, ParsedKey } from 'ssh2';
import type { Take } from '../../../net/streams/lent-memory.ts';

/** Internals of the ssh2 version that packaging/ssh2-replacements.mjs names. They exist after client.connect(). */
export interface Internals {
  readonly _chanMgr: ChannelTable;
  readonly _protocol: Protocol;
  /** Callbacks for the replies to global requests, in their order. */
  readonly _callbacks: (() => void)[];
  /** The server's software version. */
  readonly _remoteVer?: string;
}

/**
 * Its channels by our number: an object, a function for a channel that the server has not confirmed, or true for one
 * that we have not answered.
 */
interface ChannelTable {
  /** Reserves a number for a channel to be opened; the function gets the server's answer. */
  add(opened?: Opened | true): number;
  /** The highest number used so far. */
  _cur: number;
  get(id: number): Channels[number] | undefined;
  update(id: number, channel: Channels[number]): void;
  remove(id: number): void;
  /** The connection has ended: all of them are closed. */
  cleanup(error: unknown): void;
  readonly _channels: Channels;
}

export type Channels = Record<number, OpenChannel | ((...answer: never[]) => void) | true>;

export type Answered = (error: Error | undefined, channel: (ClientChannel & SentTo) | undefined) => void;

type Opened = Answered & { readonly type: string };

/** A channel whose requests wait for their replies, in their order. */
interface SentTo {
  readonly _callbacks: ((failed: boolean | Error) => void)[];
  readonly outgoing: { readonly id: number };
}

export interface OpenChannel {
  readonly type: string;
  /** The window that the server may still fill; `id` is our number of the channel. */
  readonly incoming: { readonly id: number; window: number; readonly state: 'open' | 'eof' | 'closed' };
  read(size?: number): unknown;
  /** Bytes that are not read yet. */
  readonly readableLength: number;
  readonly readableHighWaterMark: number;
  /** See Channel in ssh/connection.ts. */
  unsent?(): number;
  takesLent?: boolean;
  onLent?: Take | null;
  readonly readableFlowing: boolean | null;
  /** Of Node's Readable: how much may wait before ssh2 stops adding window. */
  readonly _readableState: { highWaterMark: number };
  /** The window that we may still fill; `id` is the server's number of the channel. */
  readonly outgoing: {
    readonly id: number;
    window: number;
    readonly packetSize: number;
    readonly state: 'open' | 'eof' | 'closing' | 'closed';
  };
  readonly writable: boolean;
  readonly writableLength: number;
  once(event: 'close' | 'resume', listener: () => void): unknown;
}

export interface Protocol extends Doors, DataPath {
  /** Called with every chunk that is read. */
  parse(chunk: Buffer, from: number, to: number): void;
  /** Its loop over the packets of a chunk: returns where it stopped; undefined or beyond the end where it did not. */
  _parse(chunk: Buffer, from: number, to: number): number | undefined;
  readonly _decipher: Decipher | undefined;
  /** Its handlers for each message. */
  readonly _handlers: Handlers;
  /** Set during a key exchange. */
  _kexinit: Buffer | undefined;
  /** Packets that wait for the end of a key exchange. */
  _queue?: Buffer[] | undefined;
  readonly _cipher: Cipher;
  /** Packs packets and unpacks them, with or without compression. */
  readonly _packetRW: { read: PacketReader; write: PacketWriter };
  /** Called at the end of the connection and after a fatal error, and then removed. */
  _destruct?: ((reason?: string) => void) | undefined;
  _debug?: unknown;
  /** Bits of ssh2's constants (COMPAT). */
  _compatFlags: number;
  /** Says goodbye (SSH_MSG_DISCONNECT). */
  disconnect(reason: number): void;
  /** Begins a rekey. */
  rekey(): void;
  /** Sends a global request that every server answers. */
  ping(): void;
  session(id: number, window: number, packet: number): void;
  exec(id: number, command: string, wantReply: boolean): void;
  shell(id: number, wantReply: boolean): void;
  subsystem(id: number, name: string, wantReply: boolean): void;
  pty(
    id: number,
    rows: number,
    columns: number,
    height: number,
    width: number,
    terminal: string,
    modes: null,
    wantReply: boolean,
  ): void;
  x11Forward(
    id: number,
    screen: { readonly single: boolean; readonly protocol: string; readonly cookie: string; readonly screen: number },
    wantReply: boolean,
  ): void;
  env(id: number, name: string, value: string, wantReply: boolean): void;
  openssh_agentForward(id: number, wantReply: boolean): void;
  /** Sends data that fits into one packet. */
  channelData(id: number, data: Buffer): void;
  channelClose(id: number): void;
  channelOpenConfirm(theirs: number, ours: number, window: number, packet: number): void;
  directTcpip(ours: number, window: number, ...rest: never[]): void;
  openssh_directStreamLocal(ours: number, window: number, ...rest: never[]): void;
  channelWindowAdjust(id: number, bytes: number): void;
  channelFailure(id: number): void;
  channelOpenFail(id: number, reason: number, text: string): void;
  requestFailure(): void;
  authNone(...args: never[]): void;
  authPassword(...args: never[]): void;
  authPK(...args: never[]): void;
  authKeyboard(...args: never[]): void;
}

/** Ours: the way of a channel's data past ssh2's parser and its streams (see Passage of packets/decipher.ts). */
interface DataPath {
  takeData(ours: number, memory: Buffer, start: number, end: number): boolean;
  /** To be called behind each read: grants the server what was used up of the windows of channels whose data was taken. */
  grantWindows(): void;
  mustStop(packets: number): boolean;
}

/**
 * Hooks that packaging/ssh2-replacements.mjs adds to the key exchange and to lists of host keys. A false result ends
 * ssh2's loop over what it has read.
 */
interface Doors {
  /** Replaces crypto's DiffieHellman: calls `proceed` when `exchange` has a group and our public number. */
  openGroup(
    exchange: { _dh: Group; _public: Buffer },
    prime: Buffer,
    generator: Buffer,
    bits: readonly [min: number, max: number],
    proceed: () => void,
  ): false;
  /** Gives `exchange` what a hybrid key exchange of this name sends, in `_public`, and then calls `proceed`. */
  openHybrid(exchange: { _dh: Secret; _public: Buffer }, name: string, proceed: () => void): false;
  /** The key that has to have signed the exchange, and how, where the server shows `blob` for the agreed algorithm in this reply. */
  openHostKey: (blob: Buffer, algorithm: string, reply: Buffer) => { readonly key: Buffer; readonly algorithm: string };
  /** Called before computeSecret() with the same bytes. */
  prepareSecret(secret: Secret, theirs: Buffer): false;
  /** Called when an exchange of keys begins, by either side. */
  exchangeBegins: () => void;
  /** Makes the cipher of a new key; `usual` makes ssh2's own. */
  createCipher: (config: { readonly outbound: CipherConfig }, usual: (config: object) => Cipher) => Cipher;
  createDecipher: (config: { readonly inbound: DecipherConfig }, usual: (config: object) => Decipher) => Decipher;
  /** Whether ChaCha20 is ours, so that ssh2 needs no WebAssembly. */
  needsNoWasm: boolean;
  /** Reads a key of a list of host keys. */
  readHostKey: (blob: Buffer) => ParsedKey | Error;
}

/** What ssh2 expects of a cipher. */
export interface Cipher {
  /** The number of the next packet. */
  outSeqno: number;
  /** Memory with the payload at 5. */
  allocPacket(payload: number): Buffer;
  /** Sends a packet of allocPacket(). */
  encrypt(packet: Buffer): void;
  free(): void;
}

/** What ssh2 expects of a decipher. */
export interface Decipher {
  /** The number of the next packet. */
  inSeqno: number;
  /** Handles a payload; any result but undefined ends the loop over what has been read. */
  _onPayload: (payload: Buffer) => unknown;
  /** Handles the packets of `data` between `from` and `to`; returns where it stopped, or undefined where it did not. */
  decrypt(data: Buffer, from: number, to: number): number | undefined;
  free(): void;
}

/** `seqno` is that of the next packet. */
interface CipherConfig {
  readonly seqno: number;
  /** `sslName` is OpenSSL's name. */
  readonly cipherInfo: { readonly sslName: string };
  readonly cipherKey: Buffer;
  readonly cipherIV: Buffer;
}

interface DecipherConfig {
  readonly seqno: number;
  readonly onPayload: Decipher['_onPayload'];
  readonly decipherInfo: { readonly sslName: string };
  readonly decipherKey: Buffer;
  readonly decipherIV: Buffer;
}

/** Our half of a key exchange. */
export interface Secret {
  /** Computes the shared secret from what the server sent. computeSecret() throws the error. */
  prepareSecret(theirs: Buffer): Promise<void>;
  /** The shared secret. Throws where it is weak, or where the server sent what gives none. */
  computeSecret(): Buffer;
}

/** The part of Node's DiffieHellman that ssh2 uses, and prepareSecret(). All numbers are big-endian. */
export interface Group extends Secret {
  getPrime(): Buffer;
  getGenerator(): Buffer;
  /** Our public number, e. */
  generateKeys(): Buffer;
}

export interface PacketReader {
  readonly _zlib?: { _maxOutputLength: number };
}

export interface PacketWriter {
  readonly _zlib?: object;
  readonly allocStart: number;
  alloc(size: number): Buffer;
  finalize(packet: Buffer, force?: boolean): Buffer;
}

/** The server's messages, with the fields that ssh2 has read. */
export interface Messages {
  DEBUG: [display: boolean, message: string];
  EXT_INFO: [extensions: readonly { readonly name: string; readonly algs: readonly string[] }[]];
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

/** The server's numbers for its end of a channel. */
export interface Opening {
  readonly sender: number;
  readonly window: number;
  readonly packetSize: number;
}

export function internalsOf(client: Client): Internals {
  return client as unknown as Internals;
}

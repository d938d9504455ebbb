import { SocketAddress } from 'node:net';
import { printable } from '../../lib/text.ts';

/**
 * Parses the next bytes of a client's handshake. After `send` the caller goes on with that state, also without further bytes, because
 * a client need not wait for the reply. Never throws, and keeps no more than one unfinished message:
 * 262 bytes of SOCKS 5 (RFC 1928), 520 of SOCKS 4 and 4a (Ying-Da Lee, "SOCKS 4A: A Simple Extension to SOCKS 4 Protocol").
 */
export function feed({ stage, pending }: SocksState, bytes: Buffer): Step {
  const all = Buffer.concat([pending, bytes]);
  if (stage === 'request') return request5(all);
  const [version] = all;
  if (version === undefined) return more('first', all);
  if (version === 5) return greeting5(all);
  return version === 4 ? request4(all) : otherProtocol(all);
}

export function startSocks(): SocksState {
  return { stage: 'first', pending: Buffer.alloc(0) };
}

/** Which message of the client comes next, and what has arrived of it. */
export interface SocksState {
  readonly stage: 'first' | 'request';
  readonly pending: Buffer;
}

export type Step =
  | { readonly type: 'more'; readonly state: SocksState }
  | { readonly type: 'send'; readonly bytes: Buffer; readonly state: SocksState }
  | ({ readonly type: 'request' } & Request)
  /** The handshake is over: send `reply`, which may be empty, and close. The message is safe to print. */
  | { readonly type: 'error'; readonly reply: Buffer; readonly message: string };

interface Request {
  readonly version: Version;
  /** An address, or a name of printable ASCII without spaces as the client wrote it, which need not exist or be allowed. */
  readonly host: string;
  /** 1 to 65535. */
  readonly port: number;
  /** The bytes after the request, which belong to the stream. */
  readonly rest: Buffer;
}

type Version = 4 | 5;

/** The result of a request. */
export type ReplyCode = 'granted' | 'forbidden' | 'refused' | 'unreachable' | 'failed';

/** The reply to a request. BND.ADDR and BND.PORT are 0.0.0.0:0: no client of CONNECT needs them. */
export function reply(version: Version, outcome: ReplyCode): Buffer {
  return version === 5 ? reply5(REPLIES5[outcome]) : reply4(outcome === 'granted' ? 90 : 91);
}

/** RFC 1928 section 6. */
const REPLIES5 = { granted: 0, failed: 1, forbidden: 2, unreachable: 4, refused: 5 } as const;
const COMMAND_NOT_SUPPORTED = 7;
const ADDRESS_TYPE_NOT_SUPPORTED = 8;

function reply5(code: number): Buffer {
  return Buffer.of(5, code, 0, IPV4, 0, 0, 0, 0, 0, 0);
}

/** The version of a reply is 0, not 4. */
function reply4(code: number): Buffer {
  return Buffer.of(0, code, 0, 0, 0, 0, 0, 0);
}

/** VER NMETHODS METHODS (RFC 1928 section 3). */
function greeting5(bytes: Buffer): Step {
  const [, count] = bytes;
  if (count === undefined || bytes.length < 2 + count) return more('first', bytes);
  const methods = bytes.subarray(2, 2 + count);
  if (!methods.includes(NO_AUTHENTICATION)) {
    const offered = count === 0 ? 'no method at all' : `only the methods ${[...methods.subarray(0, 10)].join(', ')}`;
    return error(Buffer.of(5, 0xff), `the SOCKS client insists on authentication: it offers ${offered}`);
  }
  const state: SocksState = { stage: 'request', pending: bytes.subarray(2 + count) };
  return { type: 'send', bytes: Buffer.of(5, NO_AUTHENTICATION), state };
}

const NO_AUTHENTICATION = 0;

/** VER CMD RSV ATYP DST.ADDR DST.PORT (RFC 1928 section 4). */
function request5(bytes: Buffer): Step {
  const [version, command, , type, length = 0] = bytes;
  if (version !== undefined && version !== 5) {
    return error(reply(5, 'failed'), `the SOCKS 5 client sent a request of version ${version}`);
  }
  if (type === undefined) return more('request', bytes);
  const size = type === NAME ? 1 + length : (ADDRESS_SIZES[type] ?? null);
  // The length of the address is unknown: the request cannot be read to its end.
  if (size === null) {
    return error(reply5(ADDRESS_TYPE_NOT_SUPPORTED), `the SOCKS client sent an address of unknown type ${type}`);
  }
  const end = 4 + size + 2;
  if (bytes.length < end) return more('request', bytes);
  const address = bytes.subarray(4, end - 2);
  const host = type === NAME ? name(address.subarray(1)) : type === IPV4 ? ipv4(address) : ipv6(address);
  return checkRequest(5, command, host, bytes.readUInt16BE(end - 2), bytes.subarray(end));
}

const IPV4 = 1;
const NAME = 3;
const IPV6 = 4;
const ADDRESS_SIZES: Readonly<Record<number, number>> = { [IPV4]: 4, [IPV6]: 16 };

/** VN CD DSTPORT DSTIP USERID NUL, and in 4a, where the address is 0.0.0.x, NAME NUL. */
function request4(bytes: Buffer): Step {
  const [, command] = bytes;
  const userEnd = endOfText(bytes, 8);
  if (userEnd === 'missing') return more('first', bytes);
  if (userEnd === 'too far') return error(reply(4, 'failed'), `the SOCKS 4 client's user id is too long`);
  const address = bytes.subarray(4, 8);
  const port = bytes.readUInt16BE(2);
  const number = address.readUInt32BE();
  if (number === 0 || number > 0xff) return checkRequest(4, command, ipv4(address), port, bytes.subarray(userEnd + 1));
  const nameEnd = endOfText(bytes, userEnd + 1);
  if (nameEnd === 'missing') return more('first', bytes);
  if (nameEnd === 'too far') return error(reply(4, 'failed'), `the name in the SOCKS 4a client's request is too long`);
  return checkRequest(4, command, name(bytes.subarray(userEnd + 1, nameEnd)), port, bytes.subarray(nameEnd + 1));
}

/** Where the NUL is that ends the text at `from`. */
function endOfText(bytes: Buffer, from: number): number | 'missing' | 'too far' {
  const at = bytes.indexOf(0, from);
  if ((at === -1 ? bytes.length : at) - from > MAX_TEXT) return 'too far';
  return at === -1 ? 'missing' : at;
}

/** The longest name that SOCKS 5 has room for; SOCKS 4 itself sets no bound. */
const MAX_TEXT = 255;

/** Checks a complete request: no unread bytes of it turn the close after a refusal into a reset. */
function checkRequest(
  version: Version,
  command: number | undefined,
  host: string | null,
  port: number,
  rest: Buffer,
): Step {
  if (command !== CONNECT) {
    const bytes = version === 5 ? reply5(COMMAND_NOT_SUPPORTED) : reply(4, 'failed');
    const what = COMMANDS[command ?? 0] ?? `the unknown command ${command}`;
    return error(bytes, `the SOCKS client asks for ${what}; only CONNECT is supported`);
  }
  if (host === null) return error(reply(version, 'failed'), `the SOCKS client asks for a name that cannot exist`);
  if (port === 0) return error(reply(version, 'failed'), `the SOCKS client asks for port 0 of ${printable(host)}`);
  return { type: 'request', version, host, port, rest };
}

const CONNECT = 1;
const COMMANDS: Readonly<Record<number, string>> = { 2: 'BIND', 3: 'UDP ASSOCIATE' };

function ipv4(bytes: Buffer): string {
  return bytes.join('.');
}

/** In the short form of RFC 5952. */
function ipv6(bytes: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(2 * index).toString(16));
  return new SocketAddress({ address: groups.join(':'), family: 'ipv6' }).address;
}

/** Null for a name that no resolver should get: NUL ends a string in C, and control characters forge lines of a log. */
function name(bytes: Buffer): string | null {
  const text = bytes.toString('latin1');
  return /^[\x21-\x7e]+$/.test(text) ? text : null;
}

/** A client that does not speak SOCKS, most likely a browser or curl with this as its HTTP proxy. */
function otherProtocol(bytes: Buffer): Step {
  const text = bytes.toString('latin1', 0, 40);
  if (HTTP_METHODS.some((method) => text.startsWith(method))) {
    return error(HTTP_REPLY, 'the client speaks HTTP, but this is a SOCKS proxy');
  }
  if (HTTP_METHODS.some((method) => method.startsWith(text))) return more('first', bytes);
  const what = bytes[0] === TLS_HANDSHAKE ? 'it speaks TLS' : `it says: ${printable(text)}`;
  return error(Buffer.alloc(0), `the client does not speak SOCKS; ${what}`);
}

/** RFC 9110 section 9.3 and RFC 5789; PRI begins HTTP/2 (RFC 9113 section 3.4). */
const HTTP_METHODS = 'GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH PRI'
  .split(' ')
  .map((method) => `${method} `);

/** The type of a TLS record that opens a handshake (RFC 8446 section 5.1). */
const TLS_HANDSHAKE = 0x16;

const HTTP_TEXT = 'This is a SOCKS proxy, not an HTTP proxy. Set it as a SOCKS proxy (socks5h://) instead.\n';
const HTTP_REPLY = Buffer.from(
  [
    'HTTP/1.1 501 This is a SOCKS proxy, not an HTTP proxy',
    'Connection: close',
    'Content-Type: text/plain',
    `Content-Length: ${HTTP_TEXT.length}`,
    '',
    HTTP_TEXT,
  ].join('\r\n'),
);

function more(stage: SocksState['stage'], pending: Buffer): Step {
  return { type: 'more', state: { stage, pending } };
}

function error(reply: Buffer, message: string): Step {
  return { type: 'error', reply, message };
}

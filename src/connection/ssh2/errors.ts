import { errorCode, errorText, printable } from '../../lib/text.ts';
import { TunnelFailure } from '../../model/failure.ts';
import { ProtocolViolation } from './protocol/violations.ts';

/** The stage of a connection at its failure. */
export type Stage = 'handshake' | 'authentication' | 'established';

/** Translates an error of ssh2 or of the socket below it; nothing else does. */
export function translateError(error: Error, stage: Stage, auth: string): TunnelFailure {
  const message = printable(errorText(error));
  const options = { cause: error };
  if (level(error) === 'client-authentication') {
    return new TunnelFailure('auth-rejected', auth === '' ? message : auth, options);
  }
  // RFC 4250 section 4.2.2: sent by servers after too many keys; OpenSSH uses another number.
  const reason = stage === 'authentication' ? numericCode(error) : undefined;
  if (reason === NO_MORE_AUTH_METHODS || (reason !== undefined && /authentication failures/i.test(message))) {
    return new TunnelFailure('auth-rejected', `${message}${auth === '' ? '' : `: ${auth}`}`, options);
  }
  switch (stage) {
    case 'handshake':
      return /no matching|Unsupported algorithm/i.test(message)
        ? new TunnelFailure('no-common-algorithm', message, options)
        : new TunnelFailure('handshake-failed', describe(error, message), options);
    case 'authentication':
      return new TunnelFailure('handshake-failed', `during authentication: ${describe(error, message)}`, options);
    case 'established':
      return new TunnelFailure('disconnected', describe(error, message), options);
  }
}

const NO_MORE_AUTH_METHODS = 14;

/** ssh2 has the origin of an error in `level`, and the server's disconnect reason in a numeric `code`. */
function level(error: Error): unknown {
  return 'level' in error ? error.level : undefined;
}

function numericCode(error: Error): number | undefined {
  return 'code' in error && typeof error.code === 'number' ? error.code : undefined;
}

function describe(error: Error, message: string): string {
  if (numericCode(error) !== undefined) return `the server says: ${message}`;
  const code = errorCode(error);
  if (message.startsWith('Bad packet length')) return `${DAMAGED}: a packet has an impossible length`;
  if (WRONG_CHECKSUM.test(message)) return `${DAMAGED}: a packet does not match its checksum`;
  // Of the library that ssh2 writes DER with; its message is a piece of code.
  if (code === 'ERR_ASSERTION') return 'the server broke the SSH protocol: a part of its message is empty';
  if (error instanceof ProtocolViolation || isMalformed(error)) return `the server broke the SSH protocol: ${message}`;
  return code === undefined ? message : (SYSTEM_ERRORS[code] ?? `${message} (${code})`);
}

const DAMAGED = 'the connection was damaged on the way';

/** Errors of ssh2, its native part and OpenSSL, which gives no reason for a wrong AES-GCM tag: then the native part prints the third. */
const WRONG_CHECKSUM =
  /^Invalid MAC$|unable to authenticate data|lib\(0\)::reason\(0\)|Error generating authentication tag/;

/** Errors of ssh2, and exceptions in it, for a malformed message. */
function isMalformed(error: Error): boolean {
  return (
    error instanceof TypeError ||
    error instanceof RangeError ||
    /^(Inbound: Malformed|Received (unexpected|malformed)|Invalid channel id) ?/.test(error.message)
  );
}

const SYSTEM_ERRORS: Readonly<Record<string, string>> = {
  ECONNRESET: 'the connection was reset (ECONNRESET)',
  EPIPE: 'the connection was reset (EPIPE)',
  ETIMEDOUT: 'the connection timed out (ETIMEDOUT)',
  EHOSTUNREACH: 'the route to the server is gone (EHOSTUNREACH)',
  ENETUNREACH: 'the network is gone (ENETUNREACH)',
};

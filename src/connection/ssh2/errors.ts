import { errorCode, errorText, printable } from '../../lib/text.ts';
import { TunnelFailure } from '../../model/failure.ts';
import { ProtocolViolation } from './protocol/violations.ts';

/** How far a connection had come when it failed. */
export type Stage = 'handshake' | 'authentication' | 'established';

/** The only place where an error of ssh2 or of the socket below it is given a meaning. */
export function translateError(error: Error, stage: Stage, auth: string): TunnelFailure {
  const message = printable(errorText(error));
  const options = { cause: error };
  if (level(error) === 'client-authentication') {
    return new TunnelFailure('auth-rejected', auth === '' ? message : auth, options);
  }
  // RFC 4250 section 4.2.2: what servers say when they have had enough of our keys; OpenSSH says it with another number.
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

/** ssh2 says where an error comes from in `level`, and gives the server's reason for a disconnect as a numeric `code`. */
function level(error: Error): unknown {
  return 'level' in error ? error.level : undefined;
}

function numericCode(error: Error): number | undefined {
  return 'code' in error && typeof error.code === 'number' ? error.code : undefined;
}

function describe(error: Error, message: string): string {
  if (numericCode(error) !== undefined) return `the server says: ${message}`;
  const damage = DAMAGE.find(({ pattern }) => pattern.test(message));
  if (damage !== undefined) return `the connection was damaged on the way: ${damage.what}`;
  if (error instanceof ProtocolViolation || isMalformed(error)) return `the server broke the SSH protocol: ${message}`;
  const code = errorCode(error);
  return code === undefined ? message : (SYSTEM_ERRORS[code] ?? `${message} (${code})`);
}

/** What ssh2, its compiled part and OpenSSL say of a packet that is not the one that was sent. */
const DAMAGE: readonly { readonly pattern: RegExp; readonly what: string }[] = [
  { pattern: /^Bad packet length/, what: 'a packet has an impossible length' },
  {
    // OpenSSL gives no reason where a tag of AES-GCM is wrong, and the compiled part then prints that.
    pattern: /^Invalid MAC$|unable to authenticate data|lib\(0\)::reason\(0\)|Error generating authentication tag/,
    what: 'a packet does not match its checksum',
  },
];

/** What ssh2 says, or what happens in it, when it reads a message that is none. */
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
